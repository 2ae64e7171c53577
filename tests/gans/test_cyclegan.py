"""CycleGAN: closed forms of its terms, its updates and pools, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gan_lab.callbacks.sample_grids import FIXED_LATENTS, SampleGrids
from gan_lab.config.build import build, build_network
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.figures import image_grid, with_column_names
from gan_lab.gans.conditions import FromData, Labels
from gan_lab.gans.cyclegan import CycleGAN
from gan_lab.losses.adversarial import LeastSquares, NonSaturating, RelativisticAverageHinge
from gan_lab.noise import Noise
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.regularizers.path_length import PathLength
from gan_lab.regularizers.penalties import R1, R2
from gan_lab.types import Batch
from tests.conftest import TINY
from tests.gans.test_image_condition import Data, fit
from tests.gans.test_logit_maps import Patches
from tests.helpers.model_data import small_data
from tests.helpers.player_updates import (
    assert_micro_batches_make_no_difference,
    changes_per_update,
    make_parts,
)
from tests.helpers.points_gan import Discriminator, equal_states, state, train

NETWORKS = ("generator", "back_generator", "discriminator", "back_discriminator")


class Affine(nn.Module):
    """A translator of points: gain * source + shift."""

    def __init__(self, gain: float = 0.8, shift: float = 0.2) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.tensor(gain)), nn.Parameter(torch.tensor([shift, -shift]))

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        return self.gain * condition + self.shift


class OfPoints(CycleGAN):
    """The source points are functions of the points of the tests' data set."""

    def prepare(self, batch: Any) -> Batch:
        image = batch["image"]
        return super().prepare({"image": image, "source": 0.5 * image.flip(1) + 1})


def make(
    generator: nn.Module | None = None,
    back_generator: nn.Module | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> CycleGAN:
    torch.manual_seed(0)
    settings.setdefault("loss", LeastSquares())
    settings.setdefault("condition", FromData("source"))
    networks = generator or Affine(), back_generator or Affine(1.1, 0.3), Discriminator(), Discriminator()
    return OfPoints(*networks, make_parts(**settings), **(options or {}))


def a_batch(module: CycleGAN, count: int = 4) -> Batch:
    return module.prepare({"image": torch.randn(count, 2, generator=torch.Generator().manual_seed(5))})


def generator_terms(module: CycleGAN) -> dict[str, Tensor]:
    return module.generator_loss(module.generator_step(a_batch(module), Noise(0, 4)))


def states(module: CycleGAN) -> dict[str, dict[str, Tensor]]:
    return {name: state(getattr(module, name)) for name in NETWORKS}


def test_terms_of_the_generators() -> None:
    module = make(options={"cycle_weight": 10.0, "identity_weight": 0.5}, adversarial_weight=2.0)
    batch = a_batch(module)
    a, b = batch["source"], batch["image"]
    forth, back = (lambda x: module.generator(None, x)), (lambda x: module.back_generator(None, x))
    expected = {
        "adversarial": (module.discriminator(forth(a)) - 1).square().mean(),
        "back_adversarial": (module.back_discriminator(back(b)) - 1).square().mean(),
        "cycle": 10 * F.l1_loss(back(forth(a)), a),
        "back_cycle": 10 * F.l1_loss(forth(back(b)), b),
        "identity": 5 * F.l1_loss(forth(b), b),
        "back_identity": 5 * F.l1_loss(back(a), a),
    }
    terms = generator_terms(module)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_terms_of_the_discriminators() -> None:
    module = make()
    batch = a_batch(module)
    step = module.discriminator_step(batch, Noise(0, 4))
    fake, back_fake = module.generator(None, batch["source"]), module.back_generator(None, batch["image"])
    terms = module.discriminator_loss(step)
    for name, network, real, generated in (
        ("adversarial", module.discriminator, batch["image"], fake),
        ("back_adversarial", module.back_discriminator, batch["source"], back_fake),
    ):
        expected = ((network(real) - 1).square().mean() + network(generated).square().mean()) / 2
        torch.testing.assert_close(terms[name], expected)
    assert not step.fake.samples.requires_grad and not step.others["back_fake"].samples.requires_grad


def test_identical_translators_change_nothing() -> None:
    terms = generator_terms(make(Affine(1.0, 0.0), Affine(1.0, 0.0)))
    assert all(terms[f"{prefix}{name}"] == 0 for prefix in ("", "back_") for name in ("cycle", "identity"))


def test_opposite_translators_reconstruct() -> None:
    terms = generator_terms(make(Affine(2.0, 0.5), Affine(0.5, -0.25)))
    assert max(terms["cycle"], terms["back_cycle"]) < 1e-5
    assert min(terms["identity"], terms["back_identity"]) > 0.1


def test_the_identity_term_can_be_left_out() -> None:
    assert not [name for name in generator_terms(make(options={"identity_weight": 0})) if "identity" in name]


@pytest.mark.parametrize("loss", [NonSaturating(), RelativisticAverageHinge()])
def test_other_losses(loss: Any) -> None:
    module = make(loss=loss)
    batch = a_batch(module)
    real, fake = module.discriminator(batch["image"]), module.discriminator(module.generator(None, batch["source"]))
    expected = loss.generator(fake, real) if loss.relative else loss.generator(fake)
    torch.testing.assert_close(generator_terms(module)["adversarial"], expected)


def test_both_generators_are_updated_at_once_and_then_both_discriminators() -> None:
    updates = changes_per_update(make(), 2)
    assert [player for player, _ in updates] == ["generator", "discriminator"] * 2
    for player, changed in updates:
        other = "discriminator" if player == "generator" else "generator"
        assert not changed[other]
        assert {key.partition(".")[0] for key in changed[player]} == {"0", "1"}  # of both networks


def test_the_discriminators_see_images_of_the_new_generators() -> None:
    seen = []

    class Recording(OfPoints):
        def discriminator_loss(self, step: Any) -> Any:
            seen.append((step.fake.samples.clone(), self.generator(None, step.others["back_real"].samples).detach()))
            return super().discriminator_loss(step)

    module = make()
    module.__class__ = Recording
    train(module, 1)
    assert torch.equal(*seen[0])


def test_micro_batches_make_no_difference() -> None:
    """Nor do they where the pools exchange images."""
    assert_micro_batches_make_no_difference(lambda **settings: make(options={"pool_size": 3}, **settings))


def test_a_pool_has_no_effect_while_it_is_filled() -> None:
    trained = {size: make(options={"pool_size": size}) for size in (0, 3, 8)}
    for module in trained.values():
        train(module, 2)  # 8 images
    plain, small, large = (states(module) for module in trained.values())
    assert all(equal_states(plain[name], large[name]) for name in NETWORKS)
    assert not equal_states(plain["discriminator"], small["discriminator"])
    for pool in (trained[8].pool, trained[8].back_pool):
        assert pool.images.shape == (8, 2) and len(pool.images.unique(dim=0)) == 8
    assert {"pool.images", "back_pool.images"} <= trained[8].state_dict().keys()


def test_updates_of_lazy_penalties_store_no_images() -> None:
    module = make(penalties={"r2": R2(1.0, interval=2)})
    train(module, 2)
    assert "discriminator/back_r2" in module.records[1]
    assert len(module.pool.images) == len(module.back_pool.images) == 8


def test_each_network_has_every_penalty() -> None:
    module = make(penalties={"r1": R1(2.0), "feature_matching": FeatureMatching(3.0)})
    batch = a_batch(module)
    step = module.discriminator_step(batch, Noise(0, 4))
    penalties = module.penalties.of("discriminator")
    for name, network, points in (
        ("r1", module.discriminator, batch["image"]),
        ("back_r1", module.back_discriminator, batch["source"]),
    ):
        points = points.clone().requires_grad_()
        gradient = torch.autograd.grad(network(points).sum(), points)[0]
        torch.testing.assert_close(penalties[name](step), gradient.square().sum(1).mean() / 2)
        assert penalties[name].weight == 2.0
    step = module.generator_step(batch, Noise(0, 4))
    for name, outputs in (
        ("feature_matching", (step.real, step.fake)),
        ("back_feature_matching", (step.others["back_real"], step.others["back_fake"])),
    ):
        expected = (outputs[0].features.mean(0) - outputs[1].features.mean(0)).square().sum()
        torch.testing.assert_close(module.penalties.of("generator")[name](step), expected)


def test_both_generators_are_averaged() -> None:
    module = make()
    train(module, 2)
    for name in module.translators.values():
        average, network = module.averaged[name], getattr(module, name)
        assert average is not network and average.gain != network.gain != Affine().gain
    assert module.translators == {"image": "generator", "source": "back_generator"}


def test_logs_both_directions() -> None:
    module = make()
    train(module, 1)
    assert {"logits/real", "logits/back_real", "accuracy/fake", "accuracy/back_fake"} <= module.records[0].keys()


def test_grids_show_source_output_and_reconstruction(tmp_path: Path) -> None:
    networks = Affine(), Affine(1.1, 0.3), Patches(), Patches()
    for network in networks[:2]:
        network.shift = nn.Parameter(torch.tensor(0.1))
    parts = make_parts(loss=LeastSquares(), condition=FromData("blurred"))
    module = CycleGAN(*networks, parts)
    fit(module, 2, SampleGrids(str(tmp_path), budget_images=16, every_images=16, count=24), data=Data())
    latents, sources = module.sample_inputs(8, module.seed, FIXED_LATENTS)
    for kind, average in (("ema", True), ("raw", False)):
        outputs = module.generate(latents, sources, average)
        back = module.averaged["back_generator"] if average else module.back_generator
        triples = torch.stack([sources, outputs, back(latents, outputs).detach()], 1).flatten(0, 1)
        shown = Image.open(tmp_path / f"{kind}_0000000016.png")
        expected = with_column_names(image_grid(triples, 3 * 2), ["source", "output", "reconstruction"] * 2)
        assert shown.tobytes() == expected.tobytes()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="set conditioning=source_image and dataset=unpaired"):
        make(condition=Labels())
    with pytest.raises(ValueError, match=r"^generator_batches=2 is for samples of new latents"):
        make(generator_batches=2)
    with pytest.raises(ValueError, match=r"^regularizer=path_length follows samples through their latents, and model="):
        make(penalties={"path_length": PathLength()})
    for key in ("cycle_weight", "identity_weight", "pool_size"):
        with pytest.raises(ValueError, match=rf"^algorithm\.{key}=-1 is not allowed: it must be at least 0$"):
            make(options={key: -1})


def test_the_identity_term_needs_equal_channels() -> None:
    generator = Affine()
    generator.source_channels, generator.channels = 1, 3
    with pytest.raises(ValueError, match=r"images have 1 and 3 channels; set algorithm\.identity_weight=0, or equal"):
        make(generator)
    make(generator, options={"identity_weight": 0})


@pytest.mark.parametrize("architecture", ["resnet_translator", "unet"])
def test_networks_of_the_back_direction_have_the_other_channels(architecture: str) -> None:
    settings = ("model=cyclegan", *small_data("cyclegan"), "dataset.source_channels=3", "dataset.direction=BtoA")
    cfg = compose(*TINY, *settings, f"architecture={architecture}")
    networks = {name: build_network(cfg, name) for name in NETWORKS}
    source, image, latents = torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 32), torch.zeros(2, 0)
    assert networks["generator"](latents, source).shape == image.shape
    assert networks["back_generator"](latents, image).shape == source.shape
    for name, images in (("discriminator", image), ("back_discriminator", source)):
        assert networks[name](images).shape == (2, 6, 6)
    assert cfg.architecture.back_generator.width == cfg.architecture.generator.width == 8


def test_the_config_refuses_the_identity_term_of_other_channels(tiny) -> None:
    settings = ("model=cyclegan", *small_data("cyclegan"), "dataset.source_channels=3")
    with pytest.raises(ConfigError, match="images have 3 and 1 channels; set algorithm"):
        build(tiny(*settings))
    with pytest.raises(ConfigError, match="set conditioning=source_image and dataset=unpaired"):
        build(tiny("model=cyclegan", *small_data("cyclegan"), "conditioning=none"))
