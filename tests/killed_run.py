"""A run that is killed at random moments and begun again. As a program: `python -m tests.killed_run FOLDER KILLS [SEED]`."""

import multiprocessing
import os
import random
import signal
import sys
from pathlib import Path

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from tests.conftest import TINY
from tests.exact_resume import differences

IMAGES = 20_000


def settings(folder: Path, images: int) -> list[str]:
    """Batches of 8 digits of 8 pixels, a row of the log for every third, a checkpoint for every fortieth; two data workers."""
    words = [word for word in TINY if "checkpoints" not in word and "logger" not in word]
    data = ("dataset.resolution=8", "dataset.cache=none", "dataset.max_images=300", "hardware.num_workers=2")
    often = ("callbacks.train_log.every_batches=3", "callbacks.checkpoints.every_images=320", "logger=[csv]")
    return [*words, *data, *often, f"budget.images={images}", f"run.dir={folder}"]


def train(words: list[str]) -> None:
    import torch

    torch.set_num_threads(1)
    fit(compose(*words))


def kill_until_finished(folder: Path, images: int, kills: int, seed: int, longest: float) -> tuple[int, int]:
    """Begin the run again and again; the first `kills` times, kill it within `longest` seconds.

    Returns how often it was killed, and after how many of these it had to begin from nothing.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killed_run"])
    chance, killed, from_nothing = random.Random(seed), 0, 0
    while True:
        process = context.Process(target=train, args=(settings(folder, images),))
        process.start()
        process.join(chance.uniform(0, longest) if killed < kills else None)
        if not process.is_alive():
            assert process.exitcode == 0, f"it could not go on after {killed} kills"
            return killed, from_nothing
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        killed += 1
        from_nothing += not list(folder.glob("checkpoints/images_*.ckpt"))


def main(folder: Path, kills: int, seed: int) -> None:
    train(settings(folder / "whole", IMAGES))
    killed, from_nothing = kill_until_finished(folder / "killed", IMAGES, kills, seed, longest=6.0)
    found = differences(folder / "whole", folder / "killed")
    print(
        f"{killed} kills, {from_nothing} before the first checkpoint; differences from the whole run: {found or 'none'}"
    )
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
