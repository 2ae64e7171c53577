"""The commands of `gan-lab` as functions that return data.

Each takes the overrides of its command as text or as Python values; the first arguments may be the command's folders:
`evaluate("runs/my-run", "metrics=[fd]", extractor="efflite0", **{"evaluation.samples": 1000})`. `str()` of the result
is the output of the command. A user error raises a `gan_lab.errors.UserError` with the command's message.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from gan_lab.config.compose import compose
from gan_lab.config.early_checks import check_command
from gan_lab.config.messages import mistakes_raised
from gan_lab.config.overrides import override
from gan_lab.config.targets import allowing
from gan_lab.errors import ConfigError

if TYPE_CHECKING:
    from gan_lab.benchmark.report import Bench
    from gan_lab.commands.arithmetic import Arithmetic
    from gan_lab.commands.directions import FoundDirections
    from gan_lab.commands.duplicates import DuplicateList
    from gan_lab.commands.evaluate import Evaluation
    from gan_lab.commands.explore import Explored
    from gan_lab.commands.export import Exported
    from gan_lab.commands.forget import Forgotten
    from gan_lab.commands.import_weights import Imported
    from gan_lab.commands.interpolate import Animation
    from gan_lab.commands.invert import Inverted
    from gan_lab.commands.list import Choices
    from gan_lab.commands.memorization import MemorizationResult
    from gan_lab.commands.new import NewPart
    from gan_lab.commands.prepare import Prepared
    from gan_lab.commands.probe import ProbeTable
    from gan_lab.commands.push import Pushed
    from gan_lab.commands.report import Report
    from gan_lab.commands.sample import SampleFiles
    from gan_lab.commands.translate import Translations
    from gan_lab.commands.visualize import Visualization
    from gan_lab.config.build import Experiment
    from gan_lab.reports.compare import ComparedRuns
    from gan_lab.reports.listing import RunList
    from gan_lab.reports.truncation_curve import TruncationCurve

Argument = str | PathLike[str]
"""An override or a folder."""

Data = TypeVar("Data")

GIVEN_DATA = "gan_lab.data.given.given_data"
"""`dataset._target_` of `dataset=python`."""


def fit(config: DictConfig, data: Any = None) -> "Experiment":
    """Train what a composed `train` config describes, or resume the run in its folder; see `gan_lab.training.fit.fit`.

    Random states of the process are afterwards what they were before.

    Args:
        config: Of `compose`, or of Hydra's own.
        data: For a config of `dataset=python`: a `torch.utils.data.Dataset`, or a LightningDataModule, of whose
            training loader the data set is used; the batches are those of gan_lab. A sample is an image, or an image
            with a label: of Pillow, uint8, or floating-point numbers in [0, 1] or [-1, 1].

    Raises:
        UserError: Something in the config or the data cannot be used.
        TrainingError: The training collapsed, or a number is not finite.
    """
    from gan_lab.training.fit import fit as train
    from gan_lab.training.isolation import isolated

    with mistakes_raised("train"), isolated():
        if not isinstance(config, DictConfig):
            raise ConfigError(f"gan_lab.fit takes a config of gan_lab.compose, not a {type(config).__name__}.")
        if data is not None and OmegaConf.select(config, "dataset._target_") != GIVEN_DATA:
            raise ConfigError('data= needs a config of dataset=python: gan_lab.compose("dataset=python", ...).')
        return _with_data(data, train, config)


def sample(*arguments: Argument, **settings: Any) -> "SampleFiles":
    """Sample a run's generator into files: `sample("runs/my-run", count=64, seed=7)`."""
    from gan_lab.commands import sample as module

    return _call(module.sample, "sample", "run", arguments, settings)


def interpolate(*arguments: Argument, **settings: Any) -> "Animation":
    """Write a walk through the latents of a run, or with `space="w"` its styles: `interpolate("runs/my-run")`."""
    from gan_lab.commands import interpolate as module

    return _call(module.interpolate, "interpolate", "run", arguments, settings)


def translate(*arguments: Argument, **settings: Any) -> "Translations":
    """Make images from images with a run: `translate("runs/my-run", source="photos", out="labels")`.

    For images in memory, see `gan_lab.load_translator`.
    """
    from gan_lab.commands import translate as module

    return _call(module.translate, "translate", "run", arguments, settings)


def export(*arguments: Argument, **settings: Any) -> "Exported":
    """Write a run's generator for others: `export("runs/my-run", out="digits")`, or `out="digits.safetensors"`."""
    from gan_lab.commands import export as module

    return _call(module.export, "export", "run", arguments, settings)


def push(*arguments: Argument, **settings: Any) -> "Pushed":
    """Upload a run's generator to the Hugging Face hub: `push("runs/my-run", repo="user/digits", private=True)`."""
    from gan_lab.commands import push as module

    return _call(module.push, "push", "run", arguments, settings)


def import_weights(*arguments: Argument, **settings: Any) -> "Imported":
    """Convert published weights of another project: `import_weights("ffhq.pkl", out="faces.safetensors")`."""
    from gan_lab.commands import import_weights as module

    return _call(module.import_weights, "import", "source", arguments, settings)


def evaluate(*arguments: Argument, **settings: Any) -> "Evaluation | TruncationCurve":
    """Measure a run or a folder of images: `evaluate("runs/my-run", metrics=["fd", "pr"], extractor="efflite0")`.

    A list as `truncation` measures the run under each threshold of its latents.
    """
    from gan_lab.commands import evaluate as module

    return _call(module.evaluate, "evaluate", "run", arguments, settings)


def memorization(*arguments: Argument, **settings: Any) -> "MemorizationResult":
    """Search the samples for copies of training images: `memorization("runs/my-run", extractor="efflite0")`."""
    from gan_lab.commands import memorization as module

    return _call(module.memorization, "memorization", "run", arguments, settings)


def probe(*arguments: Argument, **settings: Any) -> "ProbeTable":
    """Measure what a discriminator knows about classes: `probe("runs/my-run", labels_per_class=10)`."""
    from gan_lab.commands import probe as module

    return _call(module.probe, "probe", "run", arguments, settings)


def visualize(*arguments: Argument, **settings: Any) -> "Visualization":
    """Draw what activates the maps of a discriminator: `visualize("runs/my-run", layer=2)`."""
    from gan_lab.commands import visualize as module

    return _call(module.visualize, "visualize", "run", arguments, settings)


def forget(*arguments: Argument, **settings: Any) -> "Forgotten":
    """Find and drop the maps that draw a concept: `forget("runs/my-run", **{"concept.rule": "bright"})`."""
    from gan_lab.commands import forget as module

    return _call(module.forget, "forget", "run", arguments, settings)


def directions(*arguments: Argument, **settings: Any) -> "FoundDirections":
    """Find directions along which samples change: `directions("runs/my-run", method="sefa")`."""
    from gan_lab.commands import directions as module

    return _call(module.directions, "directions", "run", arguments, settings)


def invert(*arguments: Argument, **settings: Any) -> "Inverted":
    """Find latents whose samples are nearest to images: `invert("runs/my-run", images="photo.png")`."""
    from gan_lab.commands import invert as module

    return _call(module.invert, "invert", "run", arguments, settings)


def arithmetic(*arguments: Argument, **settings: Any) -> "Arithmetic":
    """Compute with latents of samples: `arithmetic("runs/my-run", a=[3, 17, 42], b=[5, 8, 60], c=[11, 29, 77])`."""
    from gan_lab.commands import arithmetic as module

    return _call(module.arithmetic, "arithmetic", "run", arguments, settings)


def explore(*arguments: Argument, **settings: Any) -> "Explored":
    """Show a generator in the browser until an interrupt, or for some minutes: `explore("runs/my-run", port=0)`."""
    from gan_lab.commands import explore as module

    return _call(module.explore, "explore", "run", arguments, settings)


def duplicates(*arguments: Argument, **settings: Any) -> "DuplicateList":
    """List the near-duplicates of a data set: `duplicates(dataset="digits")`."""
    from gan_lab.commands import duplicates as module

    return _call(module.duplicates, "duplicates", None, arguments, settings)


def prepare(*arguments: Argument, **settings: Any) -> "Prepared":
    """Decode a data set once, at several resolutions: `prepare(dataset="digits", out="prepared/digits")`."""
    from gan_lab.commands import prepare as module

    return _call(module.prepare, "prepare", None, arguments, settings)


def report(*arguments: Argument, **settings: Any) -> "Report":
    """Write a page of a run: `report("runs/my-run")`."""
    from gan_lab.commands import report as module

    return _call(module.report, "report", "run", arguments, settings)


def compare(*arguments: Argument | Sequence[Argument], **settings: Any) -> "ComparedRuns":
    """Compare the runs of folders, by default of the newest sweep: `compare("runs/a", "runs/b", show=["eval/*"])`."""
    from gan_lab.commands import compare as module

    return _call(module.compare, "compare", "runs", arguments, settings)


def bench(*arguments: Argument, **settings: Any) -> "Bench":
    """Measure the speed of training: `bench(model="dcgan", hardware="cpu")`."""
    from gan_lab.benchmark import report as module

    return _call(module.bench, "bench", None, arguments, settings)


def list_choices(*arguments: Argument, **settings: Any) -> "Choices":
    """List the choices of all config groups, or of one: `list_choices("loss")`."""
    from gan_lab.commands import list as module

    return _call(module.choices, "list", "what", arguments, settings)


def new(*arguments: Argument, **settings: Any) -> "NewPart":
    """Write the skeleton of a part of your own: `new(kind="loss", name="exponential")`."""
    from gan_lab.commands import new as module

    return _call(module.new, "new", None, arguments, settings)


def list_runs(*arguments: Argument, **settings: Any) -> "RunList":
    """List all runs below a folder, the newest first: `list_runs("runs")`."""
    from gan_lab.commands import runs as module

    return _call(module.runs, "runs", "root", arguments, settings)


def _call(
    command: Callable[[DictConfig], Data],
    name: str,
    key: str | None,
    arguments: tuple[Argument | Sequence[Argument], ...],
    settings: dict[str, Any],
) -> Data:
    """Compose the config of a command and run it.

    Args:
        command: Config in, data out.
        name: Name of the command.
        key: Config key of the folder, or of several ones, that the first arguments may be.
        arguments: Overrides, before them folders; also lists of them.
        settings: Overrides as Python values, and `data`, the images of a run of `dataset=python`.
    """
    each = list(_flat(arguments))
    folders = [] if key is None else list(takewhile(_is_folder, each))
    given = [str(argument) for argument in each[len(folders) :]]
    if key is not None and (folders or (arguments and not each)):  # also an empty list, which is not the default
        given.insert(0, override(key, folders[0] if len(folders) == 1 else folders))
    data = settings.pop("data", None)
    cfg = compose(*given, command=name, **settings)
    with mistakes_raised(name, given), allowing(cfg.get("allow_targets") or ()):
        check_command(name, cfg)
        return _with_data(data, command, cfg)


def _with_data(data: Any, command: Callable[[DictConfig], Data], cfg: DictConfig) -> Data:
    """The result of a command whose config may be of `dataset=python`."""
    if data is None:
        return command(cfg)
    from gan_lab.data.given import giving

    with giving(data):
        return command(cfg)


def _flat(arguments: Iterable[Argument | Sequence[Argument]]) -> Iterator[Argument]:
    for argument in arguments:
        if isinstance(argument, (str, PathLike)):
            yield argument
        else:
            yield from argument


def _is_folder(argument: Argument) -> bool:
    """Whether this is a path rather than an override; a folder may have `=` in its name."""
    return (
        not isinstance(argument, str)
        or ("=" not in argument and not argument.startswith("~"))
        or Path(argument).exists()
    )
