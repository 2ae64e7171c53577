"""BigGAN with its config: the paper's numbers, accumulation, labels and latents in every combination."""

import pytest
import torch

from gan_lab.config.build import build, build_network
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit

MODELS = ("biggan", "biggan_deep")
ATTENTION = [f"architecture.{player}.attention_resolution=16" for player in ("generator", "discriminator")]
"""So that images of 32 pixels have attention."""


@pytest.mark.parametrize("model", MODELS)
def test_numbers_of_the_paper_and_the_code(model: str, tiny) -> None:
    cfg = tiny(f"model={model}")
    assert compose(f"model={model}").batch_size == 2048 and cfg.n_critic == 2
    optimizers = build(cfg).module.configure_optimizers()
    found = [(o.param_groups[0]["lr"], o.param_groups[0]["betas"], o.param_groups[0]["eps"]) for o in optimizers]
    assert found == [(2e-4, (0.0, 0.999), 1e-6), (5e-5, (0.0, 0.999), 1e-6)]
    assert cfg.loss._target_.endswith(".Hinge") and cfg.regularizer.orthogonal.weight == 1e-4


@pytest.mark.parametrize("model", MODELS)
def test_eight_micro_batches_of_16_equal_a_batch_of_128(model: str, tiny) -> None:
    """Without batch norm, whose statistics are those of a micro-batch.

    With plain gradient steps: Adam without a first moment divides every gradient by its own size, also one of rounding
    errors.
    """
    learning_rates = ("optimizer=sgd", "optimizer.generator.lr=5e-3", "optimizer.discriminator.lr=2e-4")
    overrides = (
        f"model={model}",
        "architecture.generator.norm=none",
        "batch_size=128",
        "budget.images=256",
        *learning_rates,
        *ATTENTION,
    )
    start, one_batch = build(tiny(*overrides)).module, fit(tiny(*overrides)).module
    parts = fit(tiny(*overrides, "accumulate=8")).module
    before, after = dict(start.named_parameters()), dict(parts.named_parameters())
    for name, value in one_batch.named_parameters():
        assert torch.allclose(value, after[name], rtol=0, atol=1e-6), name
    for player in ("generator", "discriminator"):
        changes = [(value - before[name]).abs().max() for name, value in after.items() if name.startswith(f"{player}.")]
        assert max(changes) > 0.01  # 10,000 times the allowed difference


@pytest.mark.parametrize("conditioning", ["none", "concat", "projection", "shared_embedding", "auxiliary_classifier"])
@pytest.mark.parametrize("model", MODELS)
def test_every_conditioning_reaches_the_sample(model: str, conditioning: str, tiny) -> None:
    network = build_network(tiny(f"model={model}", f"conditioning={conditioning}"), "generator").eval()
    # Tables of gains and shifts have equal initial rows for all classes.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    latents = torch.randn(1, 120 if model == "biggan" else 128).expand(2, -1)
    a, b = network(latents, torch.tensor([3, 7]))
    assert torch.allclose(a, b, atol=1e-4) == (conditioning == "none")
    assert not torch.allclose(network(latents[:1] + 1, torch.tensor([3]))[0], a, atol=1e-4)


def test_labels_do_not_change_how_the_latent_is_split(tiny) -> None:
    """120 give five chunks at 64 pixels, with an embedding of 128 or one-hot labels; 100 do not give six at 128."""
    for conditioning in ("none", "concat", "shared_embedding"):
        network = build_network(
            tiny("model=biggan", "dataset.resolution=64", f"conditioning={conditioning}"), "generator"
        )
        project = next(layer for name, layer in network.named_modules() if name.endswith("project"))
        assert project.in_features == 24
    with pytest.raises(ConfigError, match=r"latent\.dim=100 cannot be split into 6 equal chunks.*set latent\.dim=120"):
        build(tiny("model=biggan", "dataset.resolution=128", "latent.dim=100"))
