"""Logger of `metrics.csv`, to which a resumed run appends."""

import csv
import io
import logging
import os
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from gan_lab.files import atomic_write, read_text, set_aside
from gan_lab.ranks import is_first_process

log = logging.getLogger(__name__)

Row = dict[str, str]


class MetricsFile(CSVLogger):
    """Lightning's CSV logger that, when a run is resumed, keeps the rows up to its checkpoint.

    The column `step` is the number of real images seen. A file with damaged rows is set aside and replaced by one with
    its other rows.

    Args:
        save_dir: Folder of the file.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    def resume_from(self, images_seen: int, rows: int | None = None) -> None:
        """Keep the rows up to `images_seen`, and warn if some of them are missing.

        Args:
            images_seen: Real images seen at the checkpoint; -1 for a new run.
            rows: Number of rows in the file when the checkpoint was written; None if unknown.
        """
        if is_first_process():
            self._experiment = _Rows(self.log_dir, images_seen, rows)

    def rows_on_disk(self) -> int | None:
        """Flush the file to the disk and return its number of rows; None outside of `fit` and in other processes."""
        return self._experiment.flush() if isinstance(self._experiment, _Rows) else None


class _Rows(ExperimentWriter):
    """Lightning's writer that appends to an existing file."""

    def __init__(self, log_dir: str, images_seen: int, rows: int | None) -> None:
        self._images_seen = images_seen
        self._expected = rows
        self._count = 0
        super().__init__(log_dir)

    def save(self) -> None:
        self._count += len(self.metrics)
        super().save()

    def flush(self) -> int:
        """See `MetricsFile.rows_on_disk`."""
        self.save()
        file = Path(self.metrics_file_path)
        if file.is_file():
            with file.open("rb") as content:
                os.fsync(content.fileno())
        return self._count

    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        columns, rows, damaged = _read(file) if file.is_file() else ([], [], [])
        if damaged:
            copy = set_aside(file)
            log.warning("%s has damaged lines (%s): they are left out, and %s is the old file.", file, damaged, copy)
        kept = [row for row in rows if int(row["step"]) <= self._images_seen][: self._expected]
        self._count = len(kept)
        if self._expected is not None and len(kept) < self._expected:
            last = f"the last is at {int(kept[-1]['step']):,} images" if kept else "none is left"
            log.warning(
                f"{file} lacks {self._expected - len(kept)} of the {self._expected} rows up to {self._images_seen:,} "
                f"images; {last}."
            )
        if kept:
            self.metrics_keys = columns
            _write(file, columns, kept)
        else:
            file.unlink(missing_ok=True)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        file = Path(self.metrics_file_path)
        _write(file, fieldnames, _read(file)[1])


def _read(file: Path) -> tuple[list[str], list[Row], list[int]]:
    """Columns, valid rows, and the numbers of the other lines; an incomplete last line is ignored."""
    try:
        lines = read_text(file).split("\n")[:-1]
    except OSError:  # too large, or not readable
        return [], [], [1]
    columns = _fields(lines[0]) if lines else []
    if lines and ("step" not in columns or len(set(columns)) < len(columns)):
        return [], [], list(range(1, len(lines) + 1))
    rows, damaged = [], []
    for number, line in enumerate(lines[1:], start=2):
        values = _fields(line)
        row = dict(zip(columns, values, strict=False))
        if len(values) == len(columns) and _is_valid(row):
            rows.append(row)
        elif line.strip():
            damaged.append(number)
    return columns, rows, damaged


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r")]), [])
    except csv.Error:  # for example a field of more than 131,072 characters
        return []


def _is_valid(row: Row) -> bool:
    try:
        _ = [float(value) for value in row.values() if value]
        return int(row["step"]) >= 0
    except ValueError:
        return False


def _write(file: Path, columns: list[str], rows: list[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(file) as target:
        target.write(text.getvalue().encode())
