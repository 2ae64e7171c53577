"""Entry point of `gan-lab`: dispatch to a command, help and shell completion. Imports nothing heavy."""

import difflib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from gan_lab.interrupts import EXIT_STOPPED, end_at_signals, raise_at_signals, release
from gan_lab.ranks import forget_empty_variables
from gan_lab.runs.new_folders import remove_unused
from gan_lab.terminal import OUTPUT, discard_unwritten_output, prepare_streams, show, write_output

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Command:
    """A command of `gan-lab`.

    Attributes:
        group: Heading in the help.
        about: What it does, for the help.
        target: `module:function`. The function takes the composed config and returns data that prints as text, or an
            iterator of such parts. The target of `train` is a program of its own.
        python: Name of the function of `gan_lab` that does the same from Python; None for the command's own name.
    """

    group: str
    about: str
    target: str
    python: str | None = None


COMMANDS = {
    "train": Command("Train", "train a GAN", "gan_lab.cli.train:main", "fit"),
    "bench": Command("Train", "measure the speed of training", "gan_lab.benchmark.report:report"),
    "sample": Command("Use", "draw samples from a checkpoint", "gan_lab.commands.sample:sample"),
    "interpolate": Command(
        "Use", "animate a walk through the latents of a checkpoint", "gan_lab.commands.interpolate:interpolate"
    ),
    "translate": Command("Use", "make images from images with a checkpoint", "gan_lab.commands.translate:translate"),
    "export": Command("Use", "write a generator for others", "gan_lab.commands.export:export"),
    "push": Command("Use", "upload a generator to the Hugging Face hub", "gan_lab.commands.push:push"),
    "import": Command(
        "Use",
        "convert published weights to a file like those of export",
        "gan_lab.commands.import_weights:import_weights",
        "import_weights",
    ),
    "evaluate": Command("Measure", "measure a checkpoint or a folder of images", "gan_lab.commands.evaluate:evaluate"),
    "memorization": Command(
        "Measure", "search the samples for copies of training images", "gan_lab.commands.memorization:memorization"
    ),
    "probe": Command("Inspect", "measure what the discriminator knows about classes", "gan_lab.commands.probe:probe"),
    "visualize": Command(
        "Inspect", "draw what activates the discriminator's maps", "gan_lab.commands.visualize:visualize"
    ),
    "forget": Command(
        "Inspect", "find the generator's maps that draw a concept, and drop them", "gan_lab.commands.forget:forget"
    ),
    "directions": Command(
        "Inspect", "find directions along which samples change", "gan_lab.commands.directions:directions"
    ),
    "invert": Command("Inspect", "find latents of given images", "gan_lab.commands.invert:invert"),
    "arithmetic": Command(
        "Inspect", "compute A - B + C with latents of samples", "gan_lab.commands.arithmetic:arithmetic"
    ),
    "explore": Command("Inspect", "show a generator in the browser", "gan_lab.commands.explore:explore"),
    "prepare": Command(
        "Data", "decode a data set once, at all resolutions of growing networks", "gan_lab.commands.prepare:prepare"
    ),
    "duplicates": Command("Data", "list near-duplicates of a data set", "gan_lab.commands.duplicates:duplicates"),
    "runs": Command(
        "Runs", "list all runs with state, progress and best number", "gan_lab.commands.runs:runs", "list_runs"
    ),
    "report": Command("Runs", "write an HTML page of a run: report.html", "gan_lab.commands.report:report"),
    "compare": Command("Runs", "compare the runs of a sweep", "gan_lab.commands.compare:compare"),
    "list": Command(
        "Discover",
        "list models, losses, data sets and all other choices",
        "gan_lab.commands.list:choices",
        "list_choices",
    ),
    "new": Command("Discover", "write the skeleton of a part of your own", "gan_lab.commands.new:new"),
}

FOLDER_KEYS = {
    "sample": "run",
    "interpolate": "run",
    "translate": "run",
    "export": "run",
    "push": "run",
    "import": "source",
    "evaluate": "run",
    "memorization": "run",
    "probe": "run",
    "visualize": "run",
    "forget": "run",
    "directions": "run",
    "invert": "run",
    "arithmetic": "run",
    "explore": "run",
    "report": "run",
    "compare": "runs",
    "runs": "root",
}
"""Keys of folders that may be left out, so that shells complete the path: `gan-lab report runs/x`."""


def _command_table() -> str:
    """The commands below their headings."""
    lines: list[str] = []
    for group, names in groupby(COMMANDS, key=lambda name: COMMANDS[name].group):
        lines += [group, *(f"  {name:14}{COMMANDS[name].about}" for name in names)]
    return "\n".join(lines)


HELP = f"""gan-lab: GANs that compose

usage: gan-lab <command> [group=choice] [key=value] [flags]

{_command_table()}

Examples
  gan-lab train                                           handwritten digits by class, under a minute on a CPU
  gan-lab train model=wgan_gp dataset=ring architecture=mlp
  gan-lab train dataset=image_folder dataset.source=photos.zip dataset.resolution=64
  gan-lab train -m model=dcgan,lsgan,wgan_gp seed=0,1,2   a sweep
  gan-lab bench model=dcgan hardware=cpu                  images per second, and time of each part of a step
  gan-lab sample count=64 seed=7                          samples of the newest run
  gan-lab interpolate seconds=10 out=walk.mp4             a smooth walk through its latents
  gan-lab translate source=photos out=labels              what the newest run of pix2pix makes of each photo
  gan-lab export out=digits                               the newest run's generator, for the Hugging Face hub
  gan-lab push repo=user/digits dry_run=true              what would be uploaded
  gan-lab import ffhq.pkl                                 published weights of StyleGAN2 as the same kind of file
  gan-lab evaluate metrics=[fd] extractor=efflite0        how far the newest run's samples are from real images
  gan-lab evaluate metrics=[fd,pr] extractor=efflite0 truncation=[0.5,1,null]    fidelity against diversity
  gan-lab memorization extractor=efflite0                 whether the newest run copies its training images
  gan-lab probe                                           what its discriminator knows about classes
  gan-lab visualize                                       what activates the maps of its discriminator
  gan-lab forget concept.rule=bright                      which of its generator's maps draw strokes
  gan-lab directions                                      directions of its latents along which samples change
  gan-lab invert images=photo.png                         latents whose sample is nearest to an image
  gan-lab arithmetic a=[3,17,42] b=[5,8,60] c=[11,29,77]  A - B + C with latents of samples
  gan-lab explore                                         all of this in the browser, with the newest run
  gan-lab prepare dataset=digits out=prepared/digits      a data set decoded once, at every resolution from 4 pixels on
  gan-lab duplicates dataset=digits                       images that a training set contains more than once
  gan-lab runs                                            all runs, their progress and how they ended
  gan-lab report                                          an HTML page of the newest run
  gan-lab compare                                         the newest sweep: a table over seeds, curves, samples, a page
  gan-lab list loss                                       all losses
  gan-lab new loss exponential                            a loss of your own: module, YAML file and test

gan-lab <command> --help shows its keys and config groups, gan-lab <command> --cfg job every key with its value.
Completion with TAB: eval "$(gan-lab -sc install=bash)"   (also for zsh; fish: gan-lab -sc install=fish | source)
"""


def main() -> None:
    """Entry point of the console script."""
    prepare_streams()
    forget_empty_variables()
    try:
        _main(sys.argv[1:])
        write_output()
    except BrokenPipeError:  # the reader of our output has exited, as `head` does
        pass
    except OSError as error:
        if error.filename != OUTPUT:
            raise
        print(f"gan-lab: {OUTPUT} cannot be written: {error.strerror}.", file=sys.stderr)
        raise SystemExit(2) from None
    finally:
        release()
        discard_unwritten_output()


def _main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        show(HELP.rstrip("\n"))
    elif arguments[0] == "--version":
        from gan_lab.version import __version__

        show(f"gan-lab {__version__}")
    elif arguments[0] in ("-sc", "--shell-completion", "--shell_completion"):
        _complete(arguments)
    elif arguments[0] in COMMANDS:
        _dispatch(arguments[0], arguments[1:])
    else:
        print(f"gan-lab: {_unknown_command(arguments[0])}", file=sys.stderr)
        raise SystemExit(2)


def _unknown_command(name: str) -> str:
    if "=" in name:
        return f"{name} is an override, and a command must come first, as in gan-lab train {name}."
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}? Choose" if near else "choose"
    return f"{name} is not a command: {hint} from {', '.join(COMMANDS)}."


def _dispatch(name: str, arguments: list[str]) -> None:
    module, _, function = COMMANDS[name].target.partition(":")
    end_at_signals(name, EXIT_STOPPED if name == "train" else None, remove_unused)
    if name == "train":
        _become(module, arguments)
        return
    from gan_lab.cli import app
    from gan_lab.cli.imports import import_heavy
    from gan_lab.config.early_checks import check_command

    def task(cfg: "DictConfig") -> None:
        check_command(name, cfg)  # before the import, which takes seconds
        work = getattr(import_heavy(module), function)
        raise_at_signals()
        found = work(cfg)
        for part in found if isinstance(found, Iterator) else [found]:
            show(part, flush=True)

    sys.argv = [sys.argv[0], *_with_keys(name, arguments)]  # read by Hydra
    app.run(name, task)


def _become(module: str, arguments: list[str]) -> None:
    """Run a module as `__main__`: Lightning starts worker processes as `python -m <name of __main__> <sys.argv>`."""
    program = import_module(module)
    sys.argv = [str(program.__file__), *arguments]
    sys.modules["__main__"].__spec__ = program.__spec__
    program.main()


def _with_keys(name: str, arguments: list[str]) -> list[str]:
    """The arguments, with the key added to a bare folder and to the bare group of `list`."""
    from gan_lab.config.overrides import override, text_as_typed

    if key := FOLDER_KEYS.get(name):
        folders = [argument for before, argument in pairwise(["", *arguments]) if _is_path(argument, before)]
        others = [argument for argument in arguments if argument not in folders]
        others = [text_as_typed(each) if each.startswith("filter=") else each for each in others]
        return [*others, *([override(key, folders[0] if len(folders) == 1 else folders)] if folders else [])]
    if name == "new":
        bare = [argument for before, argument in pairwise(["", *arguments]) if _is_path(argument, before)]
        named = dict(zip(bare, ("kind", "name"), strict=False))
        return [f"{named[argument]}={argument}" if argument in named else argument for argument in arguments]
    if name == "list" and arguments and re.fullmatch(r"[\w/]+", arguments[0]):
        return [f"what={arguments[0]}", *arguments[1:]]
    return arguments


def _is_path(argument: str, before: str) -> bool:
    """Whether an argument is a path rather than an override, a flag, or the value of the flag before it."""
    flags = argument.startswith(("-", "~")) or before.startswith("-")
    return not flags and ("=" not in argument or os.path.exists(argument))


def _complete(arguments: list[str]) -> None:
    """Shell completion: of the command here, of its overrides by Hydra, which knows one application only."""
    if "install=" in arguments[-1]:  # or uninstall=
        # Hydra takes the name of the program to complete from sys.argv[0].
        sys.argv = [sys.argv[0], *arguments]
        import_module("gan_lab.cli.train").main()
        return
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:] + [""] * line.endswith(" ")
    if len(typed) <= 1:
        print("\n".join(command for command in COMMANDS if command.startswith("".join(typed))))
    elif typed[0] in COMMANDS:
        os.environ["COMP_LINE"] = " ".join(["gan-lab", *typed[1:]])
        _dispatch(typed[0], arguments)


if __name__ == "__main__":
    main()
