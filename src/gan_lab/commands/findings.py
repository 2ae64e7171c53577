"""Writing of what a command found out about a network: into the run folder, with a section of the run's report."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from PIL import Image

from gan_lab.commands.outputs import folder_of_outputs, refuse_used_folder
from gan_lab.config.compose import compose
from gan_lab.config.overrides import override
from gan_lab.errors import DataError
from gan_lab.figures import save_image
from gan_lab.keys import leaves
from gan_lab.reports.run_page import REPORT, write_report
from gan_lab.runs.findings import FILE, FOLDER, Figure, Finding, read_finding, write_finding


def typed(command: str, cfg: DictConfig) -> list[str]:
    """A command line with the values of a config that differ from the command's defaults.

    A data set that was chosen for the command is left out: only keys of the run's data set are listed.
    """
    defaults = dict(leaves(OmegaConf.to_container(compose(command=command))))
    given = OmegaConf.to_container(cfg)
    assert isinstance(given, dict)
    if "_target_" in given.get("dataset", {}):
        del given["dataset"]
    changed = [(key, value) for key, value in leaves(given) if defaults.get(key, given) != value and key != "out"]
    return ["gan-lab", command, *(override(str(key), value) for key, value in changed)]


def finding_folder(run: Path, name: str, command: Sequence[str], out: str | None = None) -> Path:
    """Folder of a finding: `out`, or `inside/<name>` of the run, with a number if another command's finding is there.

    The same command replaces what it made.

    Args:
        run: Run folder or file of weights.
        name: Name of the finding.
        command: The command line, see `typed`.
        out: The user's folder; None for that of the run.

    Raises:
        ConfigError: `out` contains files.
    """
    if out is not None:
        refuse_used_folder(Path(out))
        return Path(out)
    inside = folder_of_outputs(run) / FOLDER
    folders = (inside / (f"{name}-{number}" if number > 1 else name) for number in count(1))
    return next(folder for folder in folders if not (folder / FILE).exists() or _made_by(folder, command))


def _made_by(folder: Path, command: Sequence[str]) -> bool:
    """Whether a finding is of this command, with the run named in any way."""
    finding = read_finding(folder / FILE)
    return finding is not None and _without_run(finding.command) == _without_run(command)


def _without_run(command: Sequence[str]) -> list[str]:
    return [argument for argument in command if not argument.startswith("run=")]


def save_finding(run: Path, folder: Path, finding: Finding, figures: Mapping[str, tuple[Image.Image, str]]) -> Finding:
    """Write a finding with its figures, and update the report of a run folder.

    Args:
        run: Run folder or file of weights.
        folder: See `finding_folder`.
        finding: Without figures.
        figures: Image and caption by file name.

    Returns:
        The finding with its figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (image, _) in figures.items():
        save_image(image, folder / name)
    complete = replace(finding, figures=[Figure(name, caption) for name, (_, caption) in figures.items()])
    write_finding(folder, complete)
    if (run / REPORT).is_file() and folder.parent.parent == run:
        with suppress(DataError):  # a damaged log must not lose what was found
            write_report(run)
    return complete
