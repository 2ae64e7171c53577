"""Points of latent spaces and the samples that they make."""

import pytest
import torch

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.layers.activations import activation_shapes, with_changed_activation
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.sampling.spaces import space_named
from gan_lab.training.fit import fit
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> PretrainedGenerator:
    """A StyleGAN2 after four batches of digits."""
    folder = tmp_path_factory.mktemp("spaces") / "run"
    fit(compose(*SMALL, "model=stylegan2", "latent.dim=8", "dataset.resolution=16", f"run.dir={folder}"))
    return gan_lab.load(folder, device="cpu")


def test_all_spaces_make_the_same_samples(loaded: PretrainedGenerator) -> None:
    spaces = [space_named(name, loaded) for name in ("z", "w", "w+")]
    first, second, third = (space.generate(*space.draw(3, seed=1)) for space in spaces)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, third)


def test_a_style_of_one_layer_changes_the_samples(loaded: PretrainedGenerator) -> None:
    space = space_named("w+", loaded)
    points, _ = space.draw(2)
    assert points.shape == (2, loaded.styles(torch.zeros(1, 8)).shape[1], 8)
    changed = points.clone()
    changed[:, 0] += 1
    assert not torch.allclose(space.generate(changed), space.generate(points))


def test_layers_have_the_same_numbers_in_both_spaces(loaded: PretrainedGenerator) -> None:
    """A dropped map is missing in the samples, whatever the space of the points."""
    made, shapes = [], []
    for name in ("z", "w"):
        space = space_named(name, loaded)
        inputs = space.draw(2)
        shapes.append(activation_shapes(space.generate, *inputs))
        last = shapes[-1][-1].number
        made.append(with_changed_activation(space.generate, last, torch.zeros_like)(*inputs))
    assert shapes[0] == shapes[1]
    torch.testing.assert_close(*made)
    assert not torch.allclose(made[1], space.generate(*inputs))
