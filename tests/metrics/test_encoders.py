"""Metrics of encoders: nearest neighbors and reconstruction errors by hand."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.metrics.encoders import EncoderNeighbors, ReconstructionError, give_encoder, nearest


class Means:
    """The mean of an image is its latent; the features are all alike; a reconstruction is an image of the mean."""

    def encode(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples.mean((1, 2, 3))[:, None]

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.zeros(len(samples), 4)

    def reconstruct(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.encode(samples)[:, :, None, None].expand_as(samples)


class HeldOut:
    size = 3

    def prepare_data(self) -> None: ...

    def setup(self, stage: str | None = None) -> None: ...

    def fingerprint(self) -> str:
        return "abc"

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        yield constant(-0.9, 0.1, 0.9)[:count], torch.tensor([0, 1, 1])[:count]


def constant(*values: float) -> Tensor:
    """Images (n, 1, 2, 2) of one value each."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2)


def test_nearest_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, queries = torch.randn(1200, 3, generator=generator), torch.randn(700, 3, generator=generator)
    assert torch.equal(nearest(queries, rows), torch.cdist(queries, rows).argmin(1))
    distances = torch.cdist(rows, rows)
    distances.fill_diagonal_(torch.inf)
    assert torch.equal(nearest(rows, rows, torch.arange(1200)), distances.argmin(1))


def test_neighbors_among_the_real_images() -> None:
    """-0.8 and -0.9 are neighbors, and 0.1, 0.2 and 0.3; of these 0.2 has another label than both others."""
    metric = EncoderNeighbors()
    give_encoder({"one_nn": metric}, Means())
    metric.update(constant(-0.8, -0.9, 0.1), real=True, labels=torch.tensor([0, 0, 1]))
    metric.update(constant(0.21, 0.3), real=True, labels=torch.tensor([2, 1]))
    assert metric.compute()["latents"].item() == pytest.approx(2 / 5)
    for _ in range(2):  # generated images change nothing
        metric.reset_generated()
        metric.update(constant(0.5), labels=None)
        assert metric.compute()["latents"].item() == pytest.approx(2 / 5)
    assert metric.protocol == {"real_images": 5, "queries": 2000, "queries_seed": 0}


def test_neighbors_of_held_out_images() -> None:
    metric = EncoderNeighbors(held_out=HeldOut())
    give_encoder({"one_nn": metric}, Means())
    metric.update(constant(-0.8, 0.0, 1.0), real=True, labels=torch.tensor([0, 1, 2]))
    found = metric.compute()
    assert found["latents"].item() == pytest.approx(2 / 3)
    assert found["features"].item() == pytest.approx(1 / 3)  # all are alike, so the first is the neighbor
    assert metric.protocol["held_out"] == "abc"


def test_reconstruction_errors() -> None:
    """On [0, 1] a constant image is reconstructed, and half an image of ones has an error of 1/2 in each pixel."""
    metric = ReconstructionError()
    give_encoder({"reconstruction": metric}, Means())
    half = torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]])
    metric.update(torch.cat([half, half]), real=True)
    metric.update(constant(-1.0, 1.0))
    found = {key: value.item() for key, value in metric.compute().items()}
    assert found == pytest.approx(
        {"real": 1.0, "real_random": 1.0, "generated": 0.0, "generated_random": 2.0}, abs=0.01
    )
    metric.reset_generated()
    found = metric.compute()
    assert found["real"].item() == pytest.approx(1.0, abs=0.01) and found["generated"].isnan()


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ConfigError, match=r"^evaluation\.metrics\.one_nn measures an encoder of images"):
        give_encoder({"one_nn": EncoderNeighbors()}, None)
    metric = EncoderNeighbors()
    give_encoder({"one_nn": metric}, Means())
    with pytest.raises(ValueError, match="need images"):
        metric.update(torch.zeros(3, 2), real=True)
    metric.update(constant(0.0, 0.1), real=True)
    with pytest.raises(ValueError, match="labeled images"):
        metric.compute()
    with pytest.raises(ValueError, match="queries=0 is not allowed"):
        EncoderNeighbors(queries=0)
