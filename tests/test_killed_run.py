"""A run killed by `kill -9` at any moment can be resumed and ends like an uninterrupted one."""

from pathlib import Path

import pytest

from tests.killed_run import IMAGES, compare_with_uninterrupted


@pytest.mark.parametrize(("images", "kills"), [(800, 5), pytest.param(IMAGES, 60, marks=pytest.mark.slow)])
def test_killed_again_and_again(images: int, kills: int, tmp_path: Path) -> None:
    (killed, with_checkpoint, _), found = compare_with_uninterrupted(tmp_path, images, kills)
    assert killed == kills and with_checkpoint >= kills // 2
    assert found == []
