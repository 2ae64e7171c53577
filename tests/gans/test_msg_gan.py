"""Training at all scales at once: inputs of players and penalties, and refusals."""

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.layers.multi_scale import image_pyramid, unpack_scales
from gan_lab.training.fit import fit

RESOLUTIONS = [4, 8, 16]
MSG = ("model=msg_gan", "dataset.resolution=16", "budget.images=24")
ALGORITHMS = ("d2gan", "unrolled_gan", "reg_gan", "mdgan", "dfm", "d2gan_dfm", "veegan", "bigan", "semi_supervised")


def watched(cfg) -> list[dict[str, torch.Tensor]]:
    """Train, and record the images of each batch and the inputs of the discriminator, in order."""
    experiment = build(cfg)
    module, recorded = experiment.module, []
    features, arrive = module.discriminator.features, experiment.data.on_after_batch_transfer

    def arriving(batch, index):
        batch = arrive(batch, index)
        recorded.append({"image": batch["image"].clone(), "scored": []})
        return batch

    def scoring(x, labels=None):
        recorded[-1]["scored"].append(x.detach().clone())
        return features(x, labels)

    experiment.data.on_after_batch_transfer, module.discriminator.features = arriving, scoring
    experiment.trainer.fit(module, datamodule=experiment.data)
    return recorded


def test_players_see_all_scales(tiny) -> None:
    for batch in watched(tiny(*MSG)):
        real, fake = batch["scored"][:2]
        for seen, expected in zip(
            unpack_scales(real, RESOLUTIONS), image_pyramid(batch["image"], RESOLUTIONS), strict=True
        ):
            assert torch.equal(seen, expected)
        assert fake.shape == real.shape == (8, 1, 16 + 64 + 256)


def test_a_penalty_takes_one_random_number_for_all_scales_of_a_sample(tiny) -> None:
    overrides = ("loss=wasserstein", "regularizer=[gradient_penalty,drift]")
    for batch in watched(tiny(*MSG, *overrides)):
        real, fake, between = batch["scored"][:3]
        fractions = ((between - fake) / (real - fake)).masked_fill((real - fake).abs() < 0.1, float("nan"))  # (n, 1, P)
        for scale in unpack_scales(fractions, RESOLUTIONS):
            torch.testing.assert_close(scale.flatten(1).nanmedian(1)[0], fractions.flatten(1).nanmedian(1)[0])
        assert fractions.flatten(1).nanmedian(1)[0].std() > 0.05  # a different one for each sample


@pytest.mark.parametrize("model", ALGORITHMS)
def test_every_algorithm_trains_at_all_scales(model: str, tiny) -> None:
    networks = ("architecture=msg_gan", "architecture.generator.norm=pixel", "dataset.resolution=16")
    module = fit(tiny(f"model={model}", *networks, "budget.images=24")).module
    assert all(torch.isfinite(value).all() for value in module.parameters())
    assert module.generate(module.sample_inputs(3, 0)[0]).shape == (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("augment=diffaugment",), "set augment=none"),
        (("augment=ada", "loss=hinge"), "set augment=none"),
        (("regularizer=[consistency]",), "regularizer=consistency changes single images"),
        (("growth=even",), "growth needs growing networks"),
        (("architecture.generator._target_=gan_lab.architectures.pggan.ProGANGenerator",),
         "set architecture=msg_gan for both"),
    ],
)  # fmt: skip
def test_what_is_refused(overrides: tuple[str, ...], sentence: str, tiny) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(tiny(*MSG, *overrides))
