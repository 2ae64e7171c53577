"""Tests of `architecture=skeleton`."""

import pytest
import torch
from own_package.skeleton import SkeletonDiscriminator, SkeletonGenerator

SIZES = {"channels": 3, "resolution": 16, "width": 8, "norm": "none", "init": "he", "init_scale": 1.0}


def test_shapes_and_gradients() -> None:
    generator, discriminator = SkeletonGenerator(latent_dim=5, **SIZES), SkeletonDiscriminator(**SIZES)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, 3, 16, 16) and images.abs().max() <= 1
    parameters = [*generator.parameters(), *discriminator.parameters()]
    assert all(gradient.any() for gradient in torch.autograd.grad(discriminator(images).sum(), parameters))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="resolution=12 is not allowed"):
        SkeletonDiscriminator(**(SIZES | {"resolution": 12}))
