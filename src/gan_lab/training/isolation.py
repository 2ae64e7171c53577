"""What a training changes in its process, restored for the program that called it."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEEDS = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
"""Variables that Lightning's `seed_everything` sets."""


@contextmanager
def isolated() -> Iterator[None]:
    """A block that trains in float32 with gradients, whatever the caller has set, and restores what it changes.

    Restored, also after an error, are the random states of Python, NumPy and PyTorch, its default dtype and the
    variables of the environment with a seed: random numbers of a notebook would repeat after each training.
    """
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    variables = {name: os.environ.get(name) for name in SEEDS}
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_default_dtype(dtype)
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
