"""pix2pix against closed forms: its losses on maps of logits, its penalty, and what it can be combined with."""

from collections.abc import Callable
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from gan_lab.architectures.patch import PatchDiscriminator
from gan_lab.architectures.source import ConcatSource
from gan_lab.architectures.unet import UNetGenerator
from gan_lab.augment.pipelines import Adaptive
from gan_lab.config.build import build_data
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import FromData
from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import Hinge, NonSaturating, Relativistic
from gan_lab.noise import Noise
from gan_lab.regularizers.pairs import AbsoluteDifference
from gan_lab.regularizers.penalties import R1
from gan_lab.regularizers.selection import TopK
from gan_lab.step import Step
from gan_lab.types import Batch
from tests.helpers.points_gan import adam

L1 = {"l1": AbsoluteDifference()}


def make(norm: str = "batch", dropout: float = 0.0, pairs: bool = True, **settings: Any) -> GAN:
    torch.manual_seed(0)
    generator = UNetGenerator(0, 1, 32, 2, norm=norm, init_scale=0.2, source_channels=1, dropout=dropout)
    wrapper = ConcatSource(1) if pairs else None
    kwargs = {"channels": 1, "resolution": 32, "width": 2, "norm": norm, "init_scale": 0.2, "layers": 2}
    discriminator = PatchDiscriminator(**(wrapper.network_kwargs(kwargs) if wrapper else kwargs))
    options = {"loss": NonSaturating(), "penalties": L1} | settings
    optimizers = {"generator": adam(), "discriminator": adam()}
    parts = Parts(optimizers=optimizers, latent=LatentPrior(0), condition=FromData("source"), **options)
    return GAN(generator, wrapper(discriminator) if wrapper else discriminator, parts)


@pytest.fixture(scope="module")
def batch() -> Batch:
    image, source = torch.rand(2, 4, 1, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return {"image": image, "source": source}


def steps(module: GAN, batch: Batch) -> tuple[Step, Step]:
    """Inputs of the discriminator and of the generator."""
    return module.discriminator_step(batch, Noise(0, 4)), module.generator_step(batch, Noise(0, 4))


def test_losses_at_logits_of_zero(batch: Batch) -> None:
    """ln 2 for each half of the discriminator's loss and for the generator's, and 100 times the mean difference."""
    module = make()
    output = module.discriminator.network.output
    output.weight.data.zero_(), output.bias.data.zero_()
    ours, theirs = steps(module, batch)
    assert module.discriminator_loss(ours)["adversarial"].item() == pytest.approx(2 * log(2), rel=1e-6)
    assert module.generator_loss(theirs)["adversarial"].item() == pytest.approx(log(2), rel=1e-6)
    images = module.generator(torch.zeros(4, 0), batch["source"])
    penalty = module.penalties.of("generator")["l1"]
    assert penalty.weight == 100
    torch.testing.assert_close(penalty(theirs), (batch["image"] - images).abs().mean())


def test_the_loss_is_the_mean_over_all_patches(batch: Batch) -> None:
    module = make()
    ours, theirs = steps(module, batch)
    real, fake = ours.real.logits, ours.fake.logits
    assert real.shape == fake.shape == (4, 6, 6)
    by_patch = [F.binary_cross_entropy_with_logits(real, torch.ones(4, 6, 6))]
    by_patch += [F.binary_cross_entropy_with_logits(fake, torch.zeros(4, 6, 6))]
    torch.testing.assert_close(module.discriminator_loss(ours)["adversarial"], sum(by_patch))
    flat = theirs.fake.logits.flatten()
    expected = F.binary_cross_entropy_with_logits(flat, torch.ones(len(flat)))
    torch.testing.assert_close(module.generator_loss(theirs)["adversarial"], expected)


def test_a_discriminator_that_ignores_the_source_has_the_unconditional_loss(batch: Batch) -> None:
    module, alone = make(), make(pairs=False)
    weight = module.discriminator.network.input.weight
    alone.discriminator.load_state_dict(module.discriminator.network.state_dict() | {"input.weight": weight[:, :1]})
    alone.generator.load_state_dict(module.generator.state_dict())
    expected = [alone.discriminator_loss(steps(alone, batch)[0]), alone.generator_loss(steps(alone, batch)[1])]
    sees_sources = module.discriminator_loss(steps(module, batch)[0])
    weight.data[:, 1:] = 0
    found = [module.discriminator_loss(steps(module, batch)[0]), module.generator_loss(steps(module, batch)[1])]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.allclose(sees_sources["adversarial"], expected[0]["adversarial"], atol=1e-4)


def test_the_order_of_pairs_is_free_but_not_that_of_sources(batch: Batch) -> None:
    module = make()
    flipped = {key: value.flip(0) for key, value in batch.items()}
    mixed = {"image": batch["image"], "source": batch["source"].flip(0)}

    def losses(of: Batch) -> Tensor:
        ours, theirs = steps(module, of)
        terms = [module.discriminator_loss(ours), module.generator_loss(theirs)]
        return torch.stack([*(term["adversarial"] for term in terms), L1["l1"](theirs)])

    torch.testing.assert_close(losses(flipped), losses(batch))
    assert not torch.allclose(losses(mixed), losses(batch), atol=1e-4)


def test_without_the_adversarial_loss_it_is_a_regression(batch: Batch) -> None:
    module = make(adversarial_weight=0)
    assert module.generator_loss(steps(module, batch)[1]) == {}
    with pytest.raises(ValueError, match="adversarial_weight=0 leaves the generator without a loss"):
        make(adversarial_weight=0, penalties={})


def test_several_batches_of_generated_samples_have_the_same_images(batch: Batch) -> None:
    module = make(generator_batches=2)
    step = module.generator_step(batch, Noise(0, 4))
    assert len(step.fake.samples) == 8
    torch.testing.assert_close(L1["l1"](step), L1["l1"](make().generator_step(batch, Noise(0, 4))))


def test_the_penalty_needs_pairs(tiny: Callable) -> None:
    with pytest.raises(ConfigError, match=r"^regularizer=l1 compares .* have none; set conditioning=source_image"):
        build_data(tiny("regularizer=[l1]"))


def test_gradient_penalties_are_by_the_image_alone(batch: Batch) -> None:
    step = make("instance").discriminator_step(batch, Noise(0, 4))
    pair = torch.cat([batch["image"], batch["source"]], 1).requires_grad_()
    (slope,) = torch.autograd.grad(step.real.network.network(pair).sum(), pair)
    torch.testing.assert_close(R1()(step), 0.5 * slope[:, :1].square().flatten(1).sum(1).mean())
    with pytest.raises(ValueError, match=r"BatchNorm2d in the discriminator mixes the samples"):
        make(penalties={"r1": R1()})


WORKING: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.5},
    "hinge_r1": {"loss": Hinge(), "norm": "instance", "penalties": {**L1, "r1": R1(0.1)}},
    "relativistic": {"loss": Relativistic()},
    "ada": {"augment": Adaptive(1, 32, batch_size=4)},
    "accumulate": {"accumulate": 2, "norm": "instance", "n_critic": 2},
}


def fit(module: GAN, batch: Batch) -> None:
    """Train on the same batch twice."""
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader([batch], batch_size=None))


@pytest.mark.parametrize("name", WORKING)
def test_trains_with_other_parts(name: str, batch: Batch) -> None:
    module = make(**WORKING[name])
    before = {key: value.clone() for key, value in module.named_parameters()}
    fit(module, batch)
    after = dict(module.named_parameters())
    assert all(torch.isfinite(value).all() for value in after.values())
    still = {key for key, value in after.items() if torch.equal(value, before[key])}
    differences = {"discriminator.network.output.bias"}  # counts only where the loss is of single logits
    assert {key for key in still if not key.startswith("averaged")} <= differences
    assert all(value.dim() == 0 for record in module.records for values in record.values() for value in values)


def test_top_k_is_refused(batch: Batch) -> None:
    with pytest.raises(ConfigError, match="top_k needs one logit for each sample, but this discriminator gives a map"):
        fit(make(selection=TopK(0.5, 1.0)), batch)


def test_settings() -> None:
    cfg = compose("model=pix2pix", "dataset.source=x", "budget.images=1000")
    assert (cfg.batch_size, cfg.lr, list(cfg.betas), cfg.latent.dim) == (1, 2e-4, [0.5, 0.999], 0)
    assert (cfg.regularizer.l1.weight, cfg.averaging.half_life_images) == (100, 0)
    decay = instantiate(cfg.schedule.lr)
    assert [decay(images) for images in (0, 500, 750, 1000)] == [1, 1, 0.5, 0]
    assert cfg.architecture.generator.source_channels == 3
