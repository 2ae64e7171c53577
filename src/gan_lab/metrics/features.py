"""Base classes of metrics of image features: with an extractor, and of generated and real images."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

Protocol = dict[str, str | float | None]
"""Names and numbers on which a value depends."""

_HASHED_AT_ONCE = 64  # rows, which stay in the cache of a processor
_HASH = 0x48415348  # seed of the hash's factors; arbitrary, but fixed


class ExtractorMetric(Metric):
    """Base of metrics of features of an extractor.

    The extractor stays in evaluation mode and runs without gradients. It is not a submodule: it follows the metric to
    other devices, but is in neither `state_dict` nor `parameters()`. Features become float64 before any statistics.

    Args:
        extractor: Images (n, ...) to features (n, d). Its attributes `name` and `fingerprint`, if it has them, are part
            of the protocol. None if the images are features already.
        kwargs: Options of torchmetrics.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, extractor: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._extractor = ((nn.Identity() if extractor is None else extractor).eval(),)  # in a tuple: not registered

    @property
    def extractor(self) -> nn.Module:
        """Images to features."""
        return self._extractor[0]

    @property
    def extractor_name(self) -> str:
        """The extractor's `name`, or the name of its class if it has none."""
        return str(getattr(self.extractor, "name", type(self.extractor).__name__))

    def extractor_protocol(self) -> Protocol:
        """Settings that the features depend on."""
        entries = {name: getattr(self.extractor, name, None) for name in ("fingerprint", "preprocessing")}
        return {"extractor": self.extractor_name, **{f"extractor_{name}": value for name, value in entries.items()}}

    def _finite_features(self, images: Tensor, which: str) -> Tensor:
        """Features (n, d) of images, float64, checked to be finite; `which` images they are, for a message."""
        with torch.no_grad():
            features = self.extractor(images)
        if features.dim() != 2 and isinstance(self.extractor, nn.Identity):
            raise ValueError(
                f"Feature distances need an extractor for samples of shape {tuple(features.shape)}: choose one, as in "
                "extractor=efflite0."
            )
        if features.dim() != 2:
            raise ValueError(
                f"Features must be (n, d), but extractor {self.extractor_name} returns {tuple(features.shape)}."
            )
        features = features.double()
        wrong = len(features) - int(features.isfinite().all(1).sum())
        if wrong:
            raise ValueError(
                f"The {which} features are not finite: extractor {self.extractor_name} returns NaN or infinity "
                f"for {wrong} of {len(features)} images."
            )
        return features

    def _apply(self, fn: Callable[..., Any], exclude_state: Any = "") -> nn.Module:
        self.extractor._apply(fn)
        return super()._apply(fn, exclude_state)


class FeatureMetric(ExtractorMetric):
    """Base of metrics that compare generated with real images by features of an extractor.

    The statistics of the real images survive `reset_generated`; `real_state` and `load_real_state` transfer them
    between runs. Values with different extractors, or from different numbers of images, are not comparable; `protocol`
    has both.

    This class stores all features, 8 d bytes for each image, and gathers them over processes; a subclass may store
    less.

    Args:
        extractor: See `ExtractorMetric`.
    """

    real_kind: ClassVar[str] = "features"
    """Kind of `real_state`; metrics of the same kind with the same extractor can load each other's."""

    real: list[Tensor]  # chunks (n, width), float64; both lists become one tensor when processes are synchronized
    generated: list[Tensor]

    def __init__(self, extractor: nn.Module | None = None) -> None:
        super().__init__(extractor, dist_sync_fn=_gather)
        self.add_state("real", [], "cat")
        self.add_state("generated", [], "cat")

    @property
    def protocol(self) -> Protocol:
        """Settings that the value depends on, to be reported with it; the counts are those of this process."""
        return {
            **self.extractor_protocol(),
            "real_images": self._count(_joined(self.real)),
            "generated_images": self._count(_joined(self.generated)),
        }

    def update(self, images: Tensor, real: bool = False) -> None:
        """Add a batch of images.

        Args:
            images: Input of the extractor, (n, ...); without an extractor features (n, d) of any dtype.
            real: True for real images, False for generated ones.

        Raises:
            ValueError: The features have the wrong shape, or are not finite.
        """
        self._store(self._stored(real), self._features(images, real))

    @abstractmethod
    def compute(self) -> Tensor | dict[str, Tensor]:
        """The value, or values by name, of all images since the last reset; scalars."""

    def reset_generated(self) -> None:
        """Reset the state of the generated images only."""
        stored, self.real = self.real, []  # `reset` empties the list in place
        self.reset()
        self.real = stored

    def real_state(self) -> dict[str, Tensor]:
        """Statistics of this process's real images: one tensor, with the key `real_kind`."""
        return {self.real_kind: _joined(self.real)}

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        """Replace the statistics of the real images.

        Args:
            state: From `real_state` of a metric with this `real_kind` and the same extractor. Only one of several
                processes may load it, since processes are summed.

        Raises:
            ValueError: The state is of another kind.
        """
        if set(state) != {self.real_kind}:
            raise ValueError(
                f"{type(self).__name__} needs the {self.real_kind} of real images, but this state has "
                f"{', '.join(sorted(state)) or 'nothing'}."
            )
        rows = state[self.real_kind].to(self.device, torch.float64)
        self.real = [rows] if len(rows) else []
        self._computed = None  # the cached value belongs to other real images

    def _features(self, images: Tensor, real: bool) -> Tensor:
        """Features (n, d) of images, float64, checked to be finite and as many as those of earlier images."""
        features = self._finite_features(images, _which(real))
        before = {self._length(part) for part in (*self.real[:1], *self.generated[:1])}
        if before - {features.shape[1]}:
            raise ValueError(
                f"Extractor {self.extractor_name} returns {features.shape[1]} features for each image, but earlier "
                f"images had {max(before)}."
            )
        return features

    def _stored(self, real: bool) -> list[Tensor]:
        return self.real if real else self.generated

    def _store(self, stored: list[Tensor], features: Tensor) -> None:
        """Add what the metric needs of features (n, d) to `stored`."""
        stored.append(features)

    def _count(self, rows: Tensor) -> int:
        """Number of images in the joined state."""
        return len(rows)

    def _length(self, rows: Tensor) -> int:
        """Number of features of each image in the joined state."""
        return rows.shape[1]

    def needed(self, real: bool) -> int:
        """Smallest number of real or of generated images."""
        return 2

    def check_counts(self, generated: int, labels: Tensor | None) -> None:
        """Check, before they exist, that `compute` works with so many generated images beside the real ones.

        Args:
            generated: Number of generated images.
            labels: Their labels, integers (generated,), if they have any.

        Raises:
            ValueError: There are too few real or generated images.
        """
        self._require(True, self._count(_joined(self.real)))
        self.check_generated(generated)

    def check_generated(self, count: int) -> None:
        """Check, before there are real or generated images, that so many generated ones are enough.

        Raises:
            ValueError: They are too few.
        """
        self._require(False, count)

    def _require(self, real: bool, count: int) -> None:
        if count < self.needed(real):
            raise ValueError(
                f"{type(self).__name__} needs at least {self.needed(real)} {_which(real)} images, but has {count}."
            )

    def _all(self, real: bool) -> Tensor:
        """Joined state of all real or all generated images.

        Raises:
            ValueError: There are fewer images than needed.
        """
        rows = _joined(self._stored(real))
        self._require(real, self._count(rows))
        return rows


def in_order(rows: Tensor) -> Tensor:
    """Rows (n, d), float64, sorted by a hash of their values.

    So neither the order of the images nor the number of processes changes a value by a single bit. Equal rows end up
    next to each other; for a random order see `shuffled`.
    """
    generator = torch.Generator().manual_seed(_HASH)
    factors = torch.randint(-(2**63), 2**63 - 1, (rows.shape[1],), generator=generator).to(rows.device) | 1
    # Integers wrap around, so their sum does not depend on the order. Odd factors lose no bit; the shift fills the low
    # bits of values that were float32, which are 0.
    bits = (part.contiguous().view(torch.int64) for part in rows.split(_HASHED_AT_ONCE))
    hashes = torch.cat([((part ^ (part >> 32)) * factors).sum(1) for part in bits])
    return rows[hashes.argsort()]


def shuffled(rows: Tensor, seed: int) -> Tensor:
    """Rows (n, d), float64, in a random order that depends on the seed and the values, not on the input order."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return in_order(rows)[order.to(rows.device)]


def require(holds: bool, given: str, allowed: str) -> None:
    """Check a setting.

    Raises:
        ValueError: `holds` is False; the message has what was given and what is allowed.
    """
    if not holds:
        raise ValueError(f"{given} is not allowed: it must be {allowed}.")


def _which(real: bool) -> str:
    return "real" if real else "generated"


def _joined(stored: list[Tensor] | Tensor) -> Tensor:
    """The state as one tensor, before and after synchronization of processes; (0, 0) without images."""
    if isinstance(stored, Tensor):
        return stored
    if len(stored) == 1:
        return stored[0]
    return torch.cat(stored) if stored else torch.zeros(0, 0, dtype=torch.float64)


def _gather(rows: Tensor, group: Any = None) -> list[Tensor]:
    """Rows (n, width) of every process.

    For a process without rows, torchmetrics substitutes a float32 (0,), whose shape and dtype do not match the others'.
    """
    parts = gather_all_tensors(rows if rows.dim() == 2 else rows.new_zeros(0, 0, dtype=torch.float64), group)
    width = max(part.shape[1] for part in parts)
    return [part if len(part) else part.new_zeros(0, width) for part in parts]
