"""Kill a run at random moments, resume it each time, and compare it with an uninterrupted one.

python -m tests.killed_run FOLDER KILLS [SEED]
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.distributed import fork_server
from tests.helpers.interrupted_runs import differences

IMAGES = 8_000


def settings(images: int) -> DictConfig:
    """Batches of 8 digits at 8x8 pixels; a log row every third, a checkpoint every fifth batch; two data workers."""
    overrides = [override for override in TINY if "checkpoints" not in override and "logger" not in override]
    data = ("dataset.resolution=8", "dataset.cache=none", "dataset.max_images=300", "hardware.num_workers=2")
    often = ("callbacks.train_log.every_batches=3", "callbacks.checkpoints.every_images=40", "logger=[csv]")
    return compose(*overrides, *data, *often, f"budget.images={images}")


def train(cfg: DictConfig, folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in a program that is not a child itself
    OmegaConf.update(cfg, "run.dir", str(folder))
    fit(cfg)


def kill_until_finished(folder: Path, cfg: DictConfig, kills: int, seed: int, longest: float) -> tuple[int, int, int]:
    """Start the run until it finishes, and kill it `kills` times.

    Every fifth kill is at the start of the run; the others up to `longest` seconds after its first new checkpoint. The
    images are divided evenly between the kills, so that the last one comes before the end.

    Returns:
        Numbers of kills, of kills with a checkpoint in the folder, and of kills while a checkpoint was being written.
    """
    context = fork_server()
    chance, killed, with_checkpoint, while_writing = random.Random(seed), 0, 0, 0
    while True:
        before = _numbered(folder)
        process = context.Process(target=train, args=(cfg, folder))
        process.start()
        if killed < kills:
            if killed % 5 < 4:
                _wait_for_checkpoint(folder, before, process)
            _wait(folder, process, chance.uniform(0, longest), (killed + 1) / (kills + 1) * cfg.budget.images)
        else:
            process.join()
        if not process.is_alive():
            assert process.exitcode == 0, f"it could not be resumed after {killed} kills"
            return killed, with_checkpoint, while_writing
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        killed += 1
        with_checkpoint += bool(_numbered(folder))
        while_writing += bool(list(folder.glob("checkpoints/.*.ckpt.*")))


def _numbered(folder: Path) -> set[str]:
    return {file.name for file in folder.glob("checkpoints/images_*.ckpt")}


def _wait_for_checkpoint(folder: Path, before: set[str], process: BaseProcess) -> None:
    while process.is_alive() and _numbered(folder) <= before:
        time.sleep(0.02)


def _wait(folder: Path, process: BaseProcess, seconds: float, images: float) -> None:
    """Wait for some seconds, the end of the process, or a checkpoint after more than `images`."""
    end = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < end:
        if any(int(name.removesuffix(".ckpt").rpartition("_")[2]) > images for name in _numbered(folder)):
            return
        time.sleep(0.005)


def compare_with_uninterrupted(
    folder: Path, images: int, kills: int, seed: int = 0
) -> tuple[tuple[int, int, int], list[str]]:
    """The numbers of `kill_until_finished`, and the differences from an uninterrupted run."""
    cfg = settings(images)
    begin = time.monotonic()
    train(cfg, folder / "uninterrupted")
    longest = (time.monotonic() - begin) / kills  # so short that all kills come before the end
    counts = kill_until_finished(folder / "killed", cfg, kills, seed, longest)
    return counts, differences(folder / "uninterrupted", folder / "killed")


def main(folder: Path, kills: int, seed: int = 0) -> None:
    (killed, with_checkpoint, while_writing), found = compare_with_uninterrupted(folder, IMAGES, kills, seed)
    print(
        f"{killed} kills, {with_checkpoint} with a checkpoint in the folder, {while_writing} while one was written; "
        f"differences from the uninterrupted run: {found or 'none'}"
    )
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
