"""Networks of LAPGAN: parameters of the authors' code and the paper, the chain, labels, the input of D."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.lapgan import LaplacianDiscriminator, LaplacianGenerator


def counts(network: Any) -> list[int]:
    """Parameters of each level, the finest first."""
    return [sum(p.numel() for p in level.parameters()) for level in network.levels]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def small(**options: Any) -> LaplacianGenerator:
    return LaplacianGenerator(5 + 64, 2, 8, 3, resolutions=[4, 8], hidden=6, **options)


def test_parameters_of_the_code_and_the_paper() -> None:
    with torch.device("meta"):  # without memory
        assert counts(LaplacianGenerator(1080, 3, 28)) == [218_179, 218_179, 1_792_992]
        assert counts(LaplacianDiscriminator(3, 28)) == [113_729, 107_905, 477_001]
        assert counts(LaplacianDiscriminator(3, 32)) == [116_545, 108_353, 477_001]
        assert counts(LaplacianGenerator(1380, 3, 32, num_classes=10))[0] == 232_579
        assert counts(LaplacianDiscriminator(3, 32, num_classes=10))[0] == 129_409
        assert counts(LaplacianGenerator(1380, 3, 32, width=128))[0] == 837_763
        coarsest: dict[str, Any] = {"resolution": 64, "channels": 3, "resolutions": [32, 64]}
        repository = LaplacianGenerator(100 + 64**2, hidden=8000, hidden_activation="sigmoid", **coarsest)
        assert counts(repository)[-1] == 89_395_072
        assert counts(LaplacianDiscriminator(hidden=1600, **coarsest))[-1] == 7_480_001


def test_initial_weights() -> None:
    """Convolutions have Torch's, U(-b, b) with b = 1 / sqrt(fan in); the coarsest level small normal ones."""
    generator, discriminator = LaplacianGenerator(1080, 3, 28), LaplacianDiscriminator(3, 28)
    second = generator.levels[0].layers[3]
    assert 0.99 < second.weight.abs().max() * (49 * 64) ** 0.5 <= 1 and second.bias.abs().max() > 0
    assert generator.levels[-1].layers[2].weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert discriminator.levels[-1].output.weight.std().item() == pytest.approx(0.005, rel=0.1)


def test_without_differences_a_sample_is_its_enlarged_coarsest_image() -> None:
    generator = LaplacianGenerator(10 + 14**2 + 28**2, 1, 28, 4, hidden=8).eval()
    for level in generator.levels[:-1]:
        nn.init.zeros_(level.layers[-1].weight), nn.init.zeros_(level.layers[-1].bias)
    latents = torch.rand(2, 990)
    coarsest = generator.levels[2](latents[:, :10])
    expected = generator.pyramid.enlarged(generator.pyramid.enlarged(coarsest, 1), 0)
    assert torch.equal(generator(latents), expected.clamp(-1, 1))
    assert [image.shape[-1] for image in generator.images(latents)] == [8, 14, 28]


def test_perfect_differences_give_the_image() -> None:
    """And each level has its own part of the latent: the coarsest level the first numbers, the image the last."""

    class True_(nn.Module):
        def __init__(self, difference: Tensor, size: int) -> None:
            super().__init__()
            self.difference, self.size = difference, size

        def forward(self, latents: Tensor, coarse: Tensor | None, labels: Tensor | None) -> Tensor:
            assert latents.shape == (2, self.size) and (latents == self.size).all()
            return self.difference

    sizes = (28**2, 14**2, 10)
    generator = LaplacianGenerator(sum(sizes), 1, 28, 4, hidden=8).eval()
    image = torch.rand(2, 1, 28, 28) * 2 - 1
    generator.levels = nn.ModuleList(map(True_, generator.pyramid.differences(image), sizes))
    latents = torch.cat([torch.full((2, size), float(size)) for size in reversed(sizes)], 1)
    torch.testing.assert_close(generator(latents), image, atol=1e-6, rtol=0)


def test_images_are_clipped_in_evaluation_mode_only() -> None:
    generator = small()
    nn.init.constant_(generator.levels[0].layers[-1].bias, 3.0)
    latents = torch.rand(2, 69)
    assert generator(latents).min() > 1
    assert generator.eval()(latents).max() == 1


def test_labels_change_every_level() -> None:
    generator = LaplacianGenerator(5 + 64, 2, 8, 3, resolutions=[4, 8], hidden=6, num_classes=3)
    discriminator = LaplacianDiscriminator(2, 8, 3, resolutions=[4, 8], hidden=6, num_classes=3).eval()
    coarse, fine = (torch.rand(1, 2, resolution, resolution).expand(3, -1, -1, -1) for resolution in (4, 8))
    noise, labels = torch.rand(1, 69).expand(3, -1), torch.arange(3)
    for level, (image, size) in enumerate([(fine, 64), (coarse, 5)]):
        made = generator.levels[level](noise[:, :size], image, labels)
        logits = discriminator.levels[level](image, labels)
        assert len(made.unique(dim=0)) == len(logits.unique()) == 3
    with pytest.raises(ValueError, match="call it with labels"):
        generator(noise)


def test_discriminators_see_the_sum_or_both() -> None:
    """An image has the logit of the finest level, whose coarse image it contains."""
    image, coarse = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    for condition, seen in (("sum", image), ("concat", torch.cat([image - coarse, coarse], 1))):
        network = LaplacianDiscriminator(1, 8, 3, resolutions=[4, 8], condition=condition).eval()
        assert torch.equal(network.joined(image, coarse), seen) and torch.equal(network.joined(image, None), image)
        assert torch.equal(network(image), network.levels[0](network.joined(image, network.pyramid.coarse(image, 0))))


def test_differences_of_other_images_change_the_score_of_real_pairs() -> None:
    """A difference plus another image's coarse version is not an image; the order of pairs does not matter."""
    network = LaplacianDiscriminator(1, 16, 4, resolutions=[8, 16]).eval()
    fine, small = network.pyramid.images(torch.rand(4, 1, 16, 16))
    coarse = network.pyramid.enlarged(small, 0)
    difference, order = fine - coarse, torch.tensor([2, 3, 1, 0])
    score = network.levels[0]
    torch.testing.assert_close(score((coarse + difference)[order]), score(fine)[order])
    assert not torch.allclose(score(coarse[order] + difference), score(fine), atol=1e-3)


@pytest.mark.parametrize("resolution", [2, 5, 8, 9, 14])
def test_small_images_have_a_discriminator(resolution: int) -> None:
    network = LaplacianDiscriminator(1, resolution, 3, resolutions=[1, resolution])
    assert network(torch.rand(2, 1, resolution, resolution)).shape == (2,)


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (LaplacianGenerator, {"latent_dim": 64}, r"latent.dim=64 is too small.*set latent.dim=164"),
        (LaplacianGenerator, {"latent_dim": 99, "hidden_activation": "tanh"}, "hidden_activation must be relu or"),
        (LaplacianGenerator, {"latent_dim": 99, "upsampling": "cubic"}, "upsampling must be bilinear or nearest"),
        (LaplacianDiscriminator, {"condition": "both"}, "condition must be sum or concat"),
    ],
)
def test_bad_options(make: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**options, channels=1, resolution=8, width=3, resolutions=[4, 8])
