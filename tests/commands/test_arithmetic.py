"""Arithmetic with latents: closed forms, and the command."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.analysis.arithmetic import combine, neighbors
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.training.fit import fit
from tests.conftest import SMALL

ZERO = torch.zeros(1000)


def draw(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 1000, generator=torch.Generator().manual_seed(seed))


def test_equal_terms_leave_the_third() -> None:
    a, c = draw(3, 0), draw(3, 1)
    torch.testing.assert_close(combine(a, a, c, ZERO, rescale=False), c.mean(0))
    torch.testing.assert_close(combine(a, a.flip(0), c, ZERO), combine(a, a, c.flip(0), ZERO))


@pytest.mark.parametrize(("count", "plain"), [(1, 3**0.5), (3, 1.0), (12, 0.5)])
def test_three_exemplars_of_each_have_the_variance_of_the_prior(count: int, plain: float) -> None:
    terms = [draw(count, seed) for seed in range(3)]
    assert combine(*terms, ZERO, rescale=False).std() == pytest.approx(plain, rel=0.1)
    assert combine(*terms, ZERO).std() == pytest.approx(1, rel=0.1)
    shifted = combine(*(term + 5 for term in terms), ZERO + 5)
    assert shifted.mean() == pytest.approx(5, abs=0.2) and shifted.std() == pytest.approx(1, rel=0.1)


def test_the_center_has_no_noise() -> None:
    found = neighbors(ZERO + 1, ZERO + 2, 0.25, torch.Generator().manual_seed(0))
    assert torch.equal(found[4], ZERO + 1)
    assert (found[0] - 1).std() == pytest.approx(0.5, rel=0.1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arithmetic") / "run"
    fit(compose(*SMALL, "model=cgan", "dataset.resolution=16", "latent.dim=8", f"run.dir={folder}"))
    return folder


def test_the_result_amid_its_neighbors(run: Path) -> None:
    found = gan_lab.arithmetic(run, a=[0, 1, 2], b=[3, 4], c=[5], labels=3, rescale=False, device="cpu")
    latents, _ = gan_lab.load(run, device="cpu").draw(6, condition=3)
    torch.testing.assert_close(found.points[4], latents[:3].mean(0) - latents[3:5].mean(0) + latents[5])
    assert found.samples.shape == (9, 1, 16, 16)
    width, height = Image.open(found.folder / "arithmetic.png").size
    assert width > height
    assert "Arithmetic on latents" in (run / "report.html").read_text()


def test_a_difference_is_added_in_steps(run: Path) -> None:
    found = gan_lab.arithmetic(run, a=[0], b=[1], to=[2, 3], steps=3, device="cpu")
    latents, _ = gan_lab.load(run, device="cpu").draw(4)
    torch.testing.assert_close(found.points[1], latents[2:])
    torch.testing.assert_close(found.points[2] - found.points[1], (latents[0] - latents[1]).expand(2, -1))
    assert found.samples.shape == (3, 2, 1, 16, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"a": [0], "b": [1]}, "needs a, b and one of c, .* and to"),
        ({"a": [0], "b": [1], "c": [2], "to": [3]}, "needs a, b and one of c, .* and to"),
        ({"a": [0], "rule": "bright"}, r"a=\[0\] has no effect with rule=bright"),
        ({"rule": "different"}, "rule=different is not allowed: .*bright, dark"),
        ({"rule": "bright", "classes": [3]}, "classes=.*two different classes"),
        ({"rule": "bright", "classes": [3, 3]}, "classes=.*two different classes"),
        ({"rule": "bright", "exemplars": [0]}, "exemplars=.*at least 1"),
        ({"a": [0], "b": [1], "c": [2], "trials": 5}, "trials=5 has no effect without rule"),
        ({"a": [], "b": [1], "c": [2]}, "a=.*numbers of samples"),
        ({"a": [-1], "b": [1], "c": [2]}, "a=.*numbers of samples"),
        ({"a": [10**12], "b": [1], "c": [2]}, "a=.*numbers of samples, from 0 to 9,999"),
        ({"a": [0], "b": [1], "c": [2], "space": "w"}, "space=w needs a generator with styles"),
        ({"b": [1], "c": [2]}, "a"),
    ],
)
def test_values_that_do_not_fit(run: Path, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        gan_lab.arithmetic(run, device="cpu", **settings)
