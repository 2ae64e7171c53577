"""The game at all scales at once: what the players see, what a penalty sees, and what is refused."""

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.errors import ConfigError
from gan_lab.layers.multi_scale import apart, at_all_scales

SIDES = [4, 8, 16]
MSG = ("model=msg_gan", "dataset.resolution=16", "budget.images=24")
GAMES = ("d2gan", "unrolled_gan", "reg_gan", "mdgan", "dfm", "veegan")


def watched(cfg) -> list[dict[str, torch.Tensor]]:
    """Train, and note what each batch was and what the discriminator judged of it, in order."""
    experiment = build(cfg)
    module, noted = experiment.module, []
    features, arrive = module.discriminator.features, experiment.data.on_after_batch_transfer

    def arriving(batch, index):
        batch = arrive(batch, index)
        noted.append({"image": batch["image"].clone(), "judged": []})
        return batch

    def judging(x, labels=None):
        noted[-1]["judged"].append(x.detach().clone())
        return features(x, labels)

    experiment.data.on_after_batch_transfer, module.discriminator.features = arriving, judging
    experiment.trainer.fit(module, datamodule=experiment.data)
    return noted


def test_players_see_all_scales(tiny) -> None:
    for batch in watched(tiny(*MSG)):
        real, fake = batch["judged"][:2]
        for seen, expected in zip(apart(real, SIDES), at_all_scales(batch["image"], SIDES), strict=True):
            assert torch.equal(seen, expected)
        assert fake.shape == real.shape == (8, 1, 16 + 64 + 256)


def test_a_penalty_takes_one_random_number_for_all_scales_of_a_sample(tiny) -> None:
    words = ("loss=wasserstein", "regularizer=[gradient_penalty,drift]")
    for batch in watched(tiny(*MSG, *words)):
        real, fake, between = batch["judged"][:3]
        shares = ((between - fake) / (real - fake)).masked_fill((real - fake).abs() < 0.1, float("nan"))  # (n, 1, P)
        for scale in apart(shares, SIDES):
            torch.testing.assert_close(scale.flatten(1).nanmedian(1)[0], shares.flatten(1).nanmedian(1)[0])
        assert shares.flatten(1).nanmedian(1)[0].std() > 0.05  # another one for each sample


@pytest.mark.parametrize("model", GAMES)
def test_every_game_plays_at_all_scales(model: str, tiny) -> None:
    cfg = tiny(f"model={model}", "architecture=msg_gan", "architecture.generator.norm=pixel", "dataset.resolution=16", "budget.images=24")  # fmt: skip
    module = fit(cfg).module
    assert all(torch.isfinite(value).all() for value in module.parameters())
    assert module.generate(module.sample_latents(3, 0)).shape == (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("augment=diffaugment",), "set augment=none"),
        (("augment=ada", "loss=hinge"), "set augment=none"),
        (("regularizer=[consistency]",), "regularizer=consistency changes single images"),
        (("growth=even",), "growth needs networks that grow"),
        (("architecture.generator._target_=gan_lab.architectures.pggan.ProGANGenerator",), "set architecture=msg_gan for both"),
    ],
)  # fmt: skip
def test_what_is_refused(words: tuple[str, ...], sentence: str, tiny) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(tiny(*MSG, *words))
