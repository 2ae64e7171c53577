"""`metrics.csv`, to which a run that goes on adds its rows."""

import csv
import io
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from gan_lab.metrics.cache import whole
from gan_lab.processes import is_first_process

Row = dict[str, str]


class MetricsFile(CSVLogger):
    """Lightning's logger of numbers into `metrics.csv`, which keeps the rows up to where the run goes on.

    The column `step` is the real images seen. Whenever the file is written anew, it is complete at every moment.

    Args:
        save_dir: The folder of the file.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    def go_on_from(self, images_seen: int) -> None:
        """Keep the rows up to `images_seen`, which a checkpoint knows of; the run will write the others again."""
        if is_first_process():
            self._experiment = _Rows(self.log_dir, images_seen)


class _Rows(ExperimentWriter):
    """Lightning's writer, but that it does not begin by removing the file."""

    def __init__(self, log_dir: str, images_seen: int) -> None:
        self._images_seen = images_seen
        super().__init__(log_dir)

    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if not file.is_file():
            return
        columns, rows = _read(file)
        kept = [row for row in rows if int(row["step"]) <= self._images_seen]
        if kept:
            self.metrics_keys = columns
            _write(file, columns, kept)
        else:
            file.unlink()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        file = Path(self.metrics_file_path)
        _write(file, fieldnames, _read(file)[1])


def _read(file: Path) -> tuple[list[str], list[Row]]:
    """Columns and rows, without a last line that was cut short."""
    lines = file.read_text().splitlines(keepends=True)
    reader = csv.DictReader(line for line in lines if line.endswith("\n"))
    return list(reader.fieldnames or ()), list(reader)


def _write(file: Path, columns: list[str], rows: list[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    with whole(file) as target:
        target.write(text.getvalue().encode())
