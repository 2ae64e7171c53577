"""The base of metrics that compare generated with real images through the features of a network."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

Protocol = dict[str, str | float | None]
"""Names and numbers on which a value depends."""

_HASHED_AT_ONCE = 4096  # rows; keeps what the hash needs beside the features small
_HASH = 0x48415348  # seed of the hash's factors; any number will do, so long as it stays the same


class FeatureMetric(Metric):
    """A metric that compares generated with real images by what an extractor makes of them.

    The extractor stays in evaluation mode and runs without gradients. It is no submodule: it moves between devices with
    the metric, but it is in no `state_dict` and among no `parameters()`. Features become float64 before any statistics.
    What is learned of the real images outlives `reset_generated`, and `real_state` and `load_real_state` carry it from
    one run to the next. Values of different extractors, or of different numbers of images, cannot be compared: the
    `protocol` has both.

    This class keeps all features, 8 d bytes for each image, and joins them over processes; a subclass may keep less.

    Args:
        extractor: Images (n, ...) to features (n, d). Its attributes `name` and `fingerprint`, if there are such, are
            part of the protocol. None where the images are features already.
    """

    is_differentiable = False
    full_state_update = False
    real_kind: ClassVar[str] = "features"
    """What is kept of the real images: metrics of one kind with one extractor can load each other's `real_state`."""

    real: list[Tensor]  # parts (n, width), float64; both lists become one tensor where processes are joined
    generated: list[Tensor]

    def __init__(self, extractor: nn.Module | None = None) -> None:
        super().__init__(dist_sync_fn=_gather)
        self._extractor = ((nn.Identity() if extractor is None else extractor).eval(),)  # in a tuple: not registered
        self.add_state("real", [], "cat")
        self.add_state("generated", [], "cat")

    @property
    def extractor(self) -> nn.Module:
        """Images to features."""
        return self._extractor[0]

    @property
    def extractor_name(self) -> str:
        """The extractor's `name`, or else that of its class."""
        return str(getattr(self.extractor, "name", type(self.extractor).__name__))

    @property
    def protocol(self) -> Protocol:
        """What the value depends on beside the images, to be printed with it; the images counted are this process's."""
        return {
            **self.extractor_protocol(),
            "real_images": self._count(_joined(self.real)),
            "generated_images": self._count(_joined(self.generated)),
        }

    def extractor_protocol(self) -> Protocol:
        """What the features are functions of beside the images."""
        words = {word: getattr(self.extractor, word, None) for word in ("fingerprint", "preprocessing")}
        return {"extractor": self.extractor_name, **{f"extractor_{word}": value for word, value in words.items()}}

    def update(self, images: Tensor, real: bool = False) -> None:
        """Learn from images.

        Args:
            images: What the extractor takes, (n, ...); without an extractor features (n, d) of any type.
            real: Whether they are real images rather than generated ones.

        Raises:
            ValueError: The features have another shape, or are not finite.
        """
        self._keep(self._kept(real), self._features(images, real))

    @abstractmethod
    def compute(self) -> Tensor | dict[str, Tensor]:
        """The value, or values by name, of all images since the last reset: scalars."""

    def reset_generated(self) -> None:
        """Forget the generated images only."""
        kept, self.real = self.real, []  # the list itself is emptied by `reset`
        self.reset()
        self.real = kept

    def real_state(self) -> dict[str, Tensor]:
        """What was learned of the real images, by this process: one tensor, under the name of `real_kind`."""
        return {self.real_kind: _joined(self.real)}

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        """Go on as if the images behind a state, and no other real ones, had been given.

        Args:
            state: From `real_state` of a metric with this `real_kind` and the same extractor. Of several processes only
                one may load it, as they add up what they have.

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
        self._computed = None  # the value of other real images

    def _features(self, images: Tensor, real: bool) -> Tensor:
        """Features (n, d) of images, float64 and finite."""
        with torch.no_grad():
            features = self.extractor(images)
        if features.dim() != 2 and isinstance(self.extractor, nn.Identity):
            raise ValueError(
                f"Distances of features need an extractor for samples {tuple(features.shape)}: choose one, as in "
                "extractor=efflite0."
            )
        if features.dim() != 2:
            raise ValueError(
                f"Features must be (n, d), but extractor {self.extractor_name} gives {tuple(features.shape)}."
            )
        before = {self._length(part) for part in (*self.real[:1], *self.generated[:1])}
        if before - {features.shape[1]}:
            raise ValueError(
                f"Extractor {self.extractor_name} gives {features.shape[1]} features for each image, but those so far "
                f"had {max(before)}."
            )
        features = features.double()
        wrong = len(features) - int(features.isfinite().all(1).sum())
        if wrong:
            raise ValueError(
                f"The {_which(real)} features are not finite: extractor {self.extractor_name} gives NaN or infinity "
                f"for {wrong} of {len(features)} images."
            )
        return features

    def _kept(self, real: bool) -> list[Tensor]:
        return self.real if real else self.generated

    def _keep(self, kept: list[Tensor], features: Tensor) -> None:
        """Add to `kept` what the metric needs of features (n, d)."""
        kept.append(features)

    def _count(self, rows: Tensor) -> int:
        """Images behind what was kept, joined."""
        return len(rows)

    def _length(self, rows: Tensor) -> int:
        """Features of each image behind what was kept."""
        return rows.shape[1]

    def _all(self, real: bool, needed: int) -> Tensor:
        """What was kept of all the real or the generated images.

        Raises:
            ValueError: They are fewer than needed.
        """
        rows = _joined(self._kept(real))
        count = self._count(rows)
        if count < needed:
            raise ValueError(f"{type(self).__name__} needs at least {needed} {_which(real)} images, but has {count}.")
        return rows

    def _apply(self, fn: Callable[..., Any], exclude_state: Any = "") -> nn.Module:
        self.extractor._apply(fn)
        return super()._apply(fn, exclude_state)


def in_order(rows: Tensor) -> Tensor:
    """Rows (n, d), float64, in an order that hangs on what they hold and not on how they arrived.

    So neither the order of the images nor the number of processes changes a value by a single bit. Equal rows become
    neighbours: where an order must be random, see `shuffled`.
    """
    generator = torch.Generator().manual_seed(_HASH)
    factors = torch.randint(-(2**63), 2**63 - 1, (rows.shape[1],), generator=generator).to(rows.device) | 1
    # Integers wrap around, so their sum is the same in any order. Odd factors lose no bit, and the shift gives some to
    # numbers that were float32, whose last bits are 0.
    bits = (part.contiguous().view(torch.int64) for part in rows.split(_HASHED_AT_ONCE))
    hashes = torch.cat([((part ^ (part >> 32)) * factors).sum(1) for part in bits])
    return rows[hashes.argsort()]


def shuffled(rows: Tensor, seed: int) -> Tensor:
    """Rows (n, d), float64, in a random order that hangs on the seed and on what they hold, not on how they arrived."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return in_order(rows)[order.to(rows.device)]


def require(holds: bool, given: str, allowed: str) -> None:
    """Refuse a setting in one sentence.

    Raises:
        ValueError: It does not hold.
    """
    if not holds:
        raise ValueError(f"{given} is not allowed: it must be {allowed}.")


def _which(real: bool) -> str:
    return "real" if real else "generated"


def _joined(kept: list[Tensor] | Tensor) -> Tensor:
    """One tensor, whether the processes were joined already or not; (0, 0) without images."""
    if isinstance(kept, Tensor):
        return kept
    if len(kept) == 1:
        return kept[0]
    return torch.cat(kept) if kept else torch.zeros(0, 0, dtype=torch.float64)


def _gather(rows: Tensor, group: Any = None) -> list[Tensor]:
    """Rows (n, width) of every process.

    torchmetrics stands in a float32 (0,) for a process without any, which neither fits the others' nor can be joined to
    them.
    """
    shares = gather_all_tensors(rows if rows.dim() == 2 else rows.new_zeros(0, 0, dtype=torch.float64), group)
    width = max(share.shape[1] for share in shares)
    return [share if len(share) else share.new_zeros(0, width) for share in shares]
