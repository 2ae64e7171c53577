"""The folder of a resumed run whose new settings cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gan_lab.config.messages import reason
from gan_lab.config.notes import NOTES
from gan_lab.errors import ConfigError
from gan_lab.files import atomic_write
from gan_lab.ranks import is_first_process
from gan_lab.reports.run_page import report_ended_run
from gan_lab.runs.state import note_failure, read_state

RECORDS = ("config.yaml", *(str(NOTES.with_name(name)) for name in ("overrides.yaml", "hydra.yaml", "config.yaml")))
"""Files of a run folder with the settings that `resume=` repeats."""


@contextmanager
def unusable_settings_undone(folder: Path, images_seen: int) -> Iterator[None]:
    """Put the settings of a resumed run back if new ones end it: `resume=` would repeat them, and fail again.

    A run that was not trained in between has its earlier state again, with the reason as `refused`.

    Args:
        folder: The run folder.
        images_seen: Images that the run has seen where it is resumed.
    """
    files = [folder / name for name in RECORDS]
    state = folder / "state.json"
    before = {file: file.read_bytes() if file.is_file() else None for file in (*files, state)}
    try:
        yield
    except ConfigError as error:
        if is_first_process():
            was_trained = read_state(folder).get("images_seen") != images_seen
            changed = [_put_back(file, before[file]) for file in (files if was_trained else (*files, state))]
            if any(changed):
                if not was_trained:
                    note_failure(folder, reason(error, "train"))
                report_ended_run(folder)
        raise


def _put_back(file: Path, content: bytes | None) -> bool:
    """Give a file its earlier content, None for no file; whether it had another one."""
    if (file.read_bytes() if file.is_file() else None) == content:
        return False
    if content is None:
        file.unlink()
        return True
    with atomic_write(file) as target:
        target.write(content)
    return True
