"""Fixtures for attacks by files: an honest checkpoint, the file that an attack would create, and config carriers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gan_lab.config.compose import compose
from gan_lab.sampling.export_file import write_export
from gan_lab.training.fit import fit
from tests.conftest import TINY


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content of an honest checkpoint."""
    folder = tmp_path_factory.mktemp("honest") / "run"
    overrides = [override for override in TINY if "checkpoints" not in override]
    fit(compose(*overrides, "budget.images=8", "dataset.max_images=16", f"run.dir={folder}"))
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """The file that attacks would create; it must not exist at the end."""
    mark = tmp_path / "attacked"
    yield mark
    assert not mark.exists()


@pytest.fixture(params=["checkpoint", "export"])
def disguise(request: pytest.FixtureRequest, checkpoint: dict[str, Any], tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a config into each kind of file that run= takes: a checkpoint in a run folder, or an export."""

    def write(config: dict[str, Any]) -> Path:
        if request.param == "export":
            file = tmp_path / "gift.safetensors"
            state = {k: v for k, v in checkpoint["state_dict"].items() if k.startswith("averaged.generator.")}
            tensors = {k.removeprefix("averaged.generator."): v for k, v in state.items()}
            write_export(file, tensors, {"weights": "ema", "images_seen": 1, "config": config})
            return file
        file = tmp_path / "gift/checkpoints/last.ckpt"
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**checkpoint, "gan_lab": {"config": yaml.safe_dump(config)}}, file)
        return tmp_path / "gift"

    return write
