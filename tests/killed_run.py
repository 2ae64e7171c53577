"""A run that is killed at random moments and begun again. As a program: `python -m tests.killed_run FOLDER KILLS [SEED]`."""

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
from gan_lab.config.fit import fit
from tests.conftest import TINY
from tests.exact_resume import differences

IMAGES = 8_000


def settings(images: int) -> DictConfig:
    """Batches of 8 digits of 8 pixels, a row of the log for every third, a checkpoint for every fifth; two data workers."""
    words = [word for word in TINY if "checkpoints" not in word and "logger" not in word]
    data = ("dataset.resolution=8", "dataset.cache=none", "dataset.max_images=300", "hardware.num_workers=2")
    often = ("callbacks.train_log.every_batches=3", "callbacks.checkpoints.every_images=40", "logger=[csv]")
    return compose(*words, *data, *often, f"budget.images={images}")


def train(cfg: DictConfig, folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in a program that is not a child itself
    OmegaConf.update(cfg, "run.dir", str(folder))
    fit(cfg)


def kill_until_finished(folder: Path, cfg: DictConfig, kills: int, seed: int, longest: float) -> tuple[int, int, int]:
    """Begin the run again and again, and `kills` times kill it: every fifth time as it begins, else up to `longest` seconds after
    its first new checkpoint, but before it has done more than its share of the images.

    Returns how often it was killed, how often with a checkpoint in its folder, and how often in the middle of writing one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killed_run"])
    chance, killed, with_checkpoint, while_writing = random.Random(seed), 0, 0, 0
    while True:
        before = _numbered(folder)
        process = context.Process(target=train, args=(cfg, folder))
        process.start()
        if killed < kills:
            if killed % 5 < 4:
                _wait_for_another(folder, before, process)
            _wait_for_the_share(
                folder, process, chance.uniform(0, longest), (killed + 1) / (kills + 1) * cfg.budget.images
            )
        else:
            process.join()
        if not process.is_alive():
            assert process.exitcode == 0, f"it could not go on after {killed} kills"
            return killed, with_checkpoint, while_writing
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        killed += 1
        with_checkpoint += bool(_numbered(folder))
        while_writing += bool(list(folder.glob("checkpoints/.*.ckpt.*")))


def _numbered(folder: Path) -> set[str]:
    return {file.name for file in folder.glob("checkpoints/images_*.ckpt")}


def _wait_for_another(folder: Path, before: set[str], process: BaseProcess) -> None:
    while process.is_alive() and _numbered(folder) <= before:
        time.sleep(0.02)


def _wait_for_the_share(folder: Path, process: BaseProcess, seconds: float, images: float) -> None:
    end = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < end:
        if any(int(name.removesuffix(".ckpt").rpartition("_")[2]) > images for name in _numbered(folder)):
            return
        time.sleep(0.005)


def killed_and_whole(folder: Path, images: int, kills: int, seed: int = 0) -> tuple[tuple[int, int, int], list[str]]:
    """See `kill_until_finished`; and in what the run differs from one that nobody killed."""
    cfg = settings(images)
    begin = time.monotonic()
    train(cfg, folder / "whole")
    longest = (time.monotonic() - begin) / kills  # so that it is killed so often before it has finished
    counts = kill_until_finished(folder / "killed", cfg, kills, seed, longest)
    return counts, differences(folder / "whole", folder / "killed")


def main(folder: Path, kills: int, seed: int = 0) -> None:
    (killed, with_checkpoint, while_writing), found = killed_and_whole(folder, IMAGES, kills, seed)
    print(
        f"{killed} kills, {with_checkpoint} with a checkpoint to go on from, {while_writing} while one was written; "
        f"differences from the whole run: {found or 'none'}"
    )
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
