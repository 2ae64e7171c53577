"""Codes as inputs of the generator, the head that predicts them, and InfoGAN."""

import pytest
import torch
from torch import nn

from gan_lab.architectures.codes import CodeHead, ConcatCodes
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.architectures.packing import Packing
from gan_lab.config.build import build
from gan_lab.gans.conditions import Codes
from gan_lab.noise import Noise
from gan_lab.regularizers.information import CodeInformation
from gan_lab.training.fit import fit
from tests.helpers.points_gan import state

CODES = Codes((3,), 2)


def test_codes_are_concatenated_to_latents() -> None:
    wrapper = ConcatCodes((3,), 2)
    assert wrapper.network_kwargs({"latent_dim": 4, "width": 8}) == {"latent_dim": 9, "width": 8}
    generator = wrapper(nn.Identity())
    latents, codes = torch.randn(6, 4), CODES.sample(Noise(0, 6))
    assert torch.equal(generator(latents, codes), torch.cat([latents, codes], 1))
    with pytest.raises(ValueError, match=r"conditioned on codes: call it with codes, \(n, dim\)"):
        generator(latents)


def test_the_code_head_has_one_hidden_layer_with_batch_norm() -> None:
    torch.manual_seed(0)
    inside = MLPDiscriminator(2, None, 8)
    network = CodeHead((3,), 2, width=16)(inside)
    x, codes = torch.randn(6, 2), CODES.sample(Noise(0, 6))
    features = network.features(x, codes)
    assert torch.equal(features, inside.features(x))  # features do not depend on the code
    assert torch.equal(network.head(features, codes), inside.head(features))
    first, norm, _, last = network.reader
    hidden = first(features)
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + norm.eps).sqrt()
    expected = last(nn.functional.leaky_relu(hidden, 0.1))
    assert expected.shape == (6, CODES.dim) and first.out_features == 16
    torch.testing.assert_close(network.auxiliary(features), expected)


def test_refusals_of_the_code_head() -> None:
    with pytest.raises(ValueError, match=r"^wrapper\.discriminator\.conditioning\.width=0 must be at least 1$"):
        CodeHead((3,), 2, width=0)
    packed = Packing(2)(MLPDiscriminator(4, None, 8))
    with pytest.raises(ValueError, match=r"^packing scores several samples at once, but each has its own code"):
        CodeHead((3,), 2)(packed)


POINTS = ("model=infogan", "dataset=ring", "architecture=mlp", "budget.images=40", "latent.dim=4")


def test_both_players_have_the_penalty(tiny) -> None:
    module = build(tiny("model=infogan", "dataset.resolution=16")).module
    assert module.condition == Codes([10], 2)
    for player in ("generator", "discriminator"):
        (penalty,) = module.penalties.of(player).values()
        assert isinstance(penalty, CodeInformation) and (penalty.weight, penalty.interval) == (1.0, 1)
        assert list(penalty.categories) == [10]


def test_the_numbers_of_variables_are_set_in_one_place(tiny) -> None:
    module = fit(tiny(*POINTS, "conditioning.categories=[4,5]", "conditioning.continuous=1")).module
    latents, codes = module.sample_inputs(3, 0)
    assert codes.shape == (3, 10) and module.generate(latents, codes).shape == (3, 2)
    assert all(torch.isfinite(value).all() for value in module.parameters())


def test_with_a_weight_of_zero_it_is_the_gan_with_longer_latents(tiny) -> None:
    """The same networks and inputs, except the second head, which is not trained."""
    weights = [f"regularizer.code_information_{player}.weight=0" for player in ("generator", "discriminator")]
    info = build(tiny(*POINTS, *weights)).module
    plain = build(tiny(*POINTS, "conditioning=none", "latent.dim=16")).module

    class Joined:
        """A prior of concatenated latents and codes."""

        dim = 16

        def sample(self, noise: Noise) -> torch.Tensor:
            return drawn.pop(0)

    with torch.no_grad():
        plain.generator.load_state_dict(info.generator.network.state_dict())
        plain.discriminator.load_state_dict(info.discriminator.network.state_dict())
    drawn: list[torch.Tensor] = []
    info.generator.network.register_forward_pre_hook(lambda _, args: drawn.append(args[0].detach().clone()))
    head = state(info.discriminator.reader)
    train_on_equal_batches(info, tiny(*POINTS, *weights))
    plain.latent = Joined()
    train_on_equal_batches(plain, tiny(*POINTS, "conditioning=none", "latent.dim=16"))
    assert not drawn
    for ours, theirs in ((info.generator, plain.generator), (info.discriminator, plain.discriminator)):
        for key, value in state(ours.network).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=1e-5)
    after = state(info.discriminator.reader)
    assert all(torch.equal(after[key], head[key]) for key, _ in info.discriminator.reader.named_parameters())


def train_on_equal_batches(module, cfg) -> None:
    experiment = build(cfg)
    experiment.trainer.fit(module, datamodule=experiment.data)
