"""Metrics of encoders: nearest neighbors in their features, and reconstruction errors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

from gan_lab.errors import ConfigError
from gan_lab.metrics.features import require

CHUNK = 500
"""Images that are encoded at once, and queries whose distances are computed at once."""

SPACES = ("latents", "features")
"""Representations of an image: the encoder's output, and the hidden layer before it."""


class Encoder(Protocol):
    """The networks that an `EncoderMetric` measures; images are float32 (n, C, H, W) in [-1, 1]."""

    def encode(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (n, d)."""

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """The encoder's last hidden layer (n, d)."""

    def reconstruct(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Reconstructions, of the shape of the samples."""


class HeldOut(Protocol):
    """A data module of held-out images."""

    size: int

    def prepare_data(self) -> None: ...

    def setup(self, stage: str | None = None) -> None: ...

    def fingerprint(self) -> str: ...

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]: ...


def give_encoder(metrics: Mapping[str, Metric], encoder: Encoder | None) -> None:
    """Give the metrics of encoders the networks that they measure.

    Args:
        metrics: By name.
        encoder: None if the model has no encoder.

    Raises:
        ConfigError: A metric needs an encoder and there is none.
    """
    for name, metric in metrics.items():
        if not isinstance(metric, EncoderMetric):
            continue
        if encoder is None:
            raise ConfigError(
                f"evaluation.metrics.{name} measures an encoder of images, and there is none: choose a model with an "
                "encoder, such as model=bigan, without a condition or with labels, or remove metrics=[encoder]."
            )
        metric.encoder = encoder


class EncoderMetric(Metric):
    """Base of metrics of an encoder on real images, which are stored as 8-bit integers; see `give_encoder`."""

    is_differentiable = False
    full_state_update = False
    takes_labels: ClassVar[bool] = True
    encoder: Encoder | None = None
    images: list[Tensor]  # chunks uint8 (n, C, H, W)
    labels: list[Tensor]  # chunks int64 (n,)

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", [], "cat")
        self.add_state("labels", [], "cat")

    def update(self, images: Tensor, real: bool = False, labels: Tensor | None = None) -> None:
        """Add images (n, C, H, W) in [-1, 1]; generated ones are not used.

        Raises:
            ValueError: The samples are not images.
        """
        if images.dim() != 4:
            raise ValueError(f"Metrics of encoders need images (n, C, H, W), not samples {tuple(images.shape)}.")
        if not real:
            return
        self.images.append((images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8))
        if labels is not None:
            self.labels.append(labels.to(images.device))

    def reset_generated(self) -> None:
        """Forget the generated images, and keep the real ones."""
        self._computed = None

    def real_state(self) -> dict[str, Tensor]:
        """Nothing that could be cached: the encoder changes."""
        return {}

    @property
    def networks(self) -> Encoder:
        """The encoder.

        Raises:
            ValueError: There is none.
        """
        if self.encoder is None:
            raise ValueError("This metric needs an encoder, see give_encoder.")
        return self.encoder

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that the value depends on."""
        return {"real_images": sum(map(len, self.images))}

    def _batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The real images in [-1, 1] and their labels, in chunks, on the metric's device."""
        images = torch.cat(self.images).split(CHUNK)
        labels: Sequence[Tensor | None] = torch.cat(self.labels).split(CHUNK) if self.labels else [None] * len(images)
        for chunk, known in zip(images, labels, strict=True):
            yield chunk.float() / 127.5 - 1, known


class EncoderNeighbors(EncoderMetric):
    """Accuracy of one nearest neighbor, with Euclidean distance, in two representations of an encoder.

    Donahue et al. (2017), section 4.1, and the authors' code: an image gets the label of the most similar real image.
    `latents` is the accuracy with the encoder's output, `features` with the hidden layer before it, a fraction. Only
    this metric uses labels, unless the encoder takes them.

    Args:
        queries: Images to classify; fewer if there are not as many.
        held_out: Data module of labeled images to classify, for instance a test split. None to classify images among
            the real ones, each by its nearest neighbor among all others.
        seed: Determines the queries among the real images.

    Raises:
        ValueError: `queries` is below 1.
    """

    higher_is_better = True

    def __init__(self, queries: int = 2000, held_out: HeldOut | None = None, seed: int = 0) -> None:
        super().__init__()
        require(queries >= 1, f"queries={queries}", "at least 1")
        self.queries, self.held_out, self.seed = queries, held_out, seed

    def compute(self) -> dict[str, Tensor]:
        """Scalars `latents` and `features`, float64 in [0, 1].

        Raises:
            ValueError: The images have no labels, or there are fewer than two.
        """
        if not self.labels or sum(map(len, self.images)) < 2:
            raise ValueError("Nearest neighbors need at least two labeled images: give dataset.num_classes.")
        labels = torch.cat(self.labels)
        rows = self._represented(self._batches())
        if self.held_out is None:
            chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(self.seed))[: self.queries]
            chosen = chosen.to(labels.device)
            queries, wanted = {space: rows[space][chosen] for space in SPACES}, labels[chosen]
        else:
            batches = list(self._held_out_batches(self.held_out, labels.device))
            chosen, queries = None, self._represented(batches)
            wanted = torch.cat([known for _, known in batches])
        found = {space: labels[nearest(queries[space], rows[space], chosen)] for space in SPACES}
        return {space: (each == wanted).double().mean() for space, each in found.items()}

    @property
    def protocol(self) -> dict[str, Any]:
        held_out = {} if self.held_out is None else {"held_out": self.held_out.fingerprint()}
        return {**super().protocol, "queries": self.queries, "queries_seed": self.seed, **held_out}

    def _represented(self, batches: Any) -> dict[str, Tensor]:
        """Rows (n, d) of each representation."""
        found: dict[str, list[Tensor]] = {space: [] for space in SPACES}
        for images, labels in batches:
            found["latents"].append(self.networks.encode(images, labels))
            found["features"].append(self.networks.features(images, labels).flatten(1))
        return {space: torch.cat(chunks) for space, chunks in found.items()}

    def _held_out_batches(self, data: HeldOut, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        data.prepare_data()
        data.setup("fit")
        for images, labels in data.reals(min(self.queries, data.size), CHUNK):
            if labels is None:
                raise ValueError("The held-out images have no labels: give held_out.num_classes.")
            yield images.to(device), labels.to(device)


class ReconstructionError(EncoderMetric):
    """Mean Euclidean distance |x - G(E(x))| of images with values in [0, 1], and of random pairs of images.

    Donahue et al. (2017), the authors' code: `real` for real images, `generated` for generated ones, and
    `real_random` and `generated_random` with the next image of the batch in place of x. Without these a small distance
    means little: that of gray images is small, too.
    """

    higher_is_better = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(3, dtype=torch.float64), "sum")

    def update(self, images: Tensor, real: bool = False, labels: Tensor | None = None) -> None:
        """Add images (n, C, H, W) in [-1, 1], real or generated."""
        super().update(images, real, labels)
        if not real:
            labels = None if labels is None else labels.to(images.device)
            for k in range(0, len(images), CHUNK):
                part = slice(k, k + CHUNK)
                self.sums += self._errors(images[part], None if labels is None else labels[part])

    def compute(self) -> dict[str, Tensor]:
        """Scalars `real`, `real_random`, `generated` and `generated_random`, float64; NaN without images."""
        real = sum((self._errors(*batch) for batch in self._batches()), torch.zeros_like(self.sums))
        names = ("real", "real_random", "generated", "generated_random")
        means = [*(real[:2] / real[2]), *(self.sums[:2] / self.sums[2])]
        return dict(zip(names, means, strict=True))

    def reset_generated(self) -> None:
        """Forget the generated images, and keep the real ones."""
        super().reset_generated()
        self.sums = torch.zeros_like(self.sums)

    def _errors(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Sums of the distances to the reconstructions of the same and of the next image, and their number."""
        made = self.networks.reconstruct(images, labels)
        # Half the distance of values in [-1, 1] is that of values in [0, 1].
        same, other = ((each - made).flatten(1).norm(dim=1).double().sum() / 2 for each in (images, images.roll(-1, 0)))
        return torch.stack([same, other, same.new_tensor(len(images))]).to(self.sums.device)


def nearest(queries: Tensor, rows: Tensor, own: Tensor | None = None) -> Tensor:
    """Index of the nearest row for each query, int64 (q,), by Euclidean distance.

    Args:
        queries: (q, d).
        rows: (n, d).
        own: Index of each query among the rows, int64 (q,), which is not its neighbor; None if it is not among them.
    """
    found = []
    squares = rows.square().sum(1)
    for k in range(0, len(queries), CHUNK):
        distances = squares - 2 * queries[k : k + CHUNK] @ rows.T  # up to a constant for each query
        if own is not None:
            distances.scatter_(1, own[k : k + CHUNK, None], torch.inf)
        found.append(distances.argmin(1))
    return torch.cat(found)
