"""`kill -9` at any moment leaves a run that goes on, and that ends as if nobody had killed it."""

from pathlib import Path

import pytest

from tests.killed_run import IMAGES, killed_and_whole


@pytest.mark.parametrize(("images", "kills"), [(800, 5), pytest.param(IMAGES, 60, marks=pytest.mark.slow)])
def test_killed_again_and_again(images: int, kills: int, tmp_path: Path) -> None:
    (killed, with_checkpoint, _), found = killed_and_whole(tmp_path, images, kills)
    assert killed == kills and with_checkpoint >= kills // 2
    assert found == []
