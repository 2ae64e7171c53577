"""Importing PyTorch and Lightning for a command: quick, and without traces for what is imported later."""

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

CODE = """
import gc, sys
from gan_lab.cli.imports import import_heavy

assert gc.get_freeze_count() == 0
assert import_heavy("gan_lab.training.fit").fit.__name__ == "fit"
assert gc.isenabled() and gc.get_freeze_count() > 100_000
assert "torchmetrics" in sys.modules and "scipy.signal" not in sys.modules
frozen = gc.get_freeze_count()
import_heavy("gan_lab.commands.sample")
assert gc.get_freeze_count() <= frozen  # objects of a command that runs are collected
from scipy.signal import convolve
import scipy.signal.windows
assert scipy.signal.windows.hann(3).tolist() == [0, 1, 0] and convolve([1, 2], [3]).tolist() == [3, 6]
"""

NEEDED_MEANWHILE = """
import sys, types
from importlib.machinery import ModuleSpec
from gan_lab.cli.imports import import_heavy

class Needs:
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name == "needs_scipy" else None
    def create_module(self, spec): pass
    def exec_module(self, module):
        exec("import importlib.util; assert importlib.util.find_spec('scipy.signal')", {})
        exec("from scipy.signal import convolve; import scipy.signal.windows as w; found = w.hann(3)", module.__dict__)

sys.meta_path.append(Needs())
assert import_heavy("needs_scipy").found.tolist() == [0, 1, 0]
assert sys.modules["scipy.signal"].__file__
"""

COMPILED_LATER = """
import sys
from gan_lab.cli.imports import import_heavy

import_heavy("gan_lab.training.fit")
import torch
from lightning.fabric.wrappers import OptimizedModule

assert isinstance(torch.optim.Adam(torch.nn.Linear(1, 1).parameters()), torch.optim.Optimizer)
layer = torch.nn.Linear(2, 1)
optimizer = torch.optim.Adam(layer.parameters())
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()

@torch.compiler.disable
def apart(x):
    return x * 2

assert apart(1) == 2 and not isinstance(layer, OptimizedModule)
assert "torch._dynamo.eval_frame" not in sys.modules

graphs = []
compiled = torch.compile(lambda x: apart(x + 1) - 1, backend=lambda graph, _: graphs.append(graph) or graph.forward)
assert compiled(torch.ones(2)).tolist() == [3, 3] and len(graphs) == 2  # before and after the function that is disabled
assert isinstance(torch.compile(layer, backend="eager"), OptimizedModule) and not isinstance(layer, OptimizedModule)
assert torch.optim.Optimizer.zero_grad.__wrapped__.__dynamo_disable is not torch.optim.Optimizer.zero_grad.__wrapped__
optimizer.step()
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__file__
"""

MODULE_INSIDE = """
import sys
from gan_lab.cli.imports import import_heavy

import_heavy("gan_lab.training.fit")
from torch._dynamo.eval_frame import OptimizedModule
import torch._dynamo.utils
import torch._dynamo.backends.debugging

assert OptimizedModule is torch._dynamo.eval_frame.OptimizedModule is torch._dynamo.OptimizedModule
assert torch._dynamo.eval_frame.__spec__.origin.endswith("eval_frame.py")
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
"""


SETTINGS_INSIDE = """
from gan_lab.cli.imports import import_heavy

import_heavy("gan_lab.training.fit")
import torch._dynamo.config

assert torch._dynamo.config.recompile_limit > 0
"""

PATCHED = """
import sys
from unittest.mock import patch
from gan_lab.cli.imports import import_heavy

import_heavy("gan_lab.training.fit")
import torch

stand_in = torch._dynamo
with patch("torch._dynamo.reset", return_value=7):
    assert torch._dynamo.reset() == sys.modules["torch._dynamo"].reset() == stand_in.reset() == 7
assert torch._dynamo.reset() is None
stand_in.own = 3
assert torch._dynamo.own == 3 and "own" in dir(stand_in)
del stand_in.own
assert not hasattr(torch._dynamo, "own")
"""

OPEN_FILES = """
import gzip, sys
from gan_lab.cli.imports import import_heavy

Step = import_heavy("gan_lab.step").Step
Step.files = [open("text", "w"), open("bytes", "wb"), gzip.open("zipped", "wt"), open("closed", "w"), open("text")]
Step.files[0].write("one")
Step.files[1].write(b"two")
Step.files[2].write("three")
Step.files[3].close()
"""
"""A class of an imported module refers to files, and the collector leaves it out."""


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_imported_objects_are_not_collected_and_scipy_signal_is_imported_when_it_is_used():
    run(CODE)


def test_a_module_that_uses_scipy_signal_gets_it():
    run(NEEDED_MEANWHILE)


@pytest.mark.parametrize("code", [COMPILED_LATER, MODULE_INSIDE, SETTINGS_INSIDE, PATCHED])
def test_the_front_of_the_compiler_is_imported_when_it_is_used(code: str):
    run(code)


def test_open_files_are_written_when_the_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run(OPEN_FILES)
    assert (tmp_path / "text").read_text() == "one" and (tmp_path / "bytes").read_bytes() == b"two"
    assert zlib.decompressobj(wbits=31).decompress((tmp_path / "zipped").read_bytes()) == b"three"
