"""New runs that start with the weights of another run, a checkpoint or an export: `initialize=`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_lab.architectures.freezing import frozen_tensors
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import relative_path
from gan_lab.gans.base import AdversarialModule
from gan_lab.runs.checkpoints import find_checkpoint
from gan_lab.runs.latest import check_weights
from gan_lab.runs.remote import local_path
from gan_lab.sampling.export_file import SUFFIX, read_export
from gan_lab.sampling.stored import WEIGHTS

AVERAGED, WRAPPED = "averaged.", "network."
"""Prefixes of names: of averaged networks in an algorithm, and of the network inside a wrapper."""

LITTLE = 0.5
"""Fraction of a network's values below which a warning reports that little was taken."""


@dataclass(frozen=True)
class TakenWeights:
    """What one network of a run took from a file. Tensors are parameters and buffers, by name.

    Attributes:
        network: Name of the network: `generator`, `averaged.generator`, ...
        source: The network in the file; empty if it has none.
        fraction: Fraction of the network's values that were taken.
        taken: The tensors that were taken.
        other_shape: Tensors that have another shape or type in the file: both, the network's first.
        missing: Tensors that the file does not have.
        unused: Tensors of the file that the network does not have.
    """

    network: str
    source: str
    fraction: float
    taken: list[str]
    other_shape: dict[str, tuple[str, str]]
    missing: list[str]
    unused: list[str]

    @property
    def is_little(self) -> bool:
        """Whether less than half of the network was taken."""
        return self.fraction < LITTLE

    def __str__(self) -> str:
        if not self.source:
            return f"{self.network}: nothing, since the file has no such network"
        tensors = len(self.taken) + len(self.other_shape) + len(self.missing)
        text = f"{self.network}: {len(self.taken)} of {tensors} tensors, {self._percent} of the values"
        if self.source != self.network:
            text += f", from {self.source}"
        if self.other_shape:
            name, (ours, theirs) = next(iter(self.other_shape.items()))
            text += f"; {len(self.other_shape)} of another shape, such as {_short(name)}: {ours}, in the file {theirs}"
        if self.missing:
            text += f"; {len(self.missing)} not in the file, such as {_short(self.missing[0])}"
        return text

    @property
    def _percent(self) -> str:
        return f"{100 * self.fraction:.3g} %"

    def summary(self) -> str:
        """Network and percentage."""
        return f"{self.network} {self._percent}"


@dataclass(frozen=True)
class Initialization:
    """What the networks of a new run took from a file.

    Attributes:
        file: The file.
        images_seen: Real images seen by the weights in it; 0 if unknown.
        networks: One for each network.
    """

    file: str
    images_seen: int
    networks: list[TakenWeights]

    def __str__(self) -> str:
        fractions = ", ".join(each.summary() for each in self.networks)
        return f"{self.source}: {fractions} of the values"

    @property
    def source(self) -> str:
        """The file, and how many images its weights have seen, unless that is unknown."""
        return f"{self.file}, after {self.images_seen:,} images" if self.images_seen else self.file

    def to_json(self) -> str:
        """All names, as JSON, with the summary."""
        return json.dumps({"summary": str(self), **asdict(self)}, indent=2) + "\n"


@dataclass(frozen=True)
class WeightFile:
    """The tensors of a checkpoint or an export, by their names in an algorithm.

    A tensor fits if its name, its shape and its kind (floating point or not) are the same. The prefix of wrappers is
    not part of a name, so an unconditional network fits into a conditional one of the same architecture. Averaged
    networks take averaged weights and others those that were trained; if the file has only one kind, both take it.

    Attributes:
        file: The file.
        images_seen: Real images seen by the weights.
        tensors: Tensors by name, as in the state dict of an algorithm.
    """

    file: Path
    images_seen: int
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: str | Path) -> "WeightFile":
        """Read a run folder's newest checkpoint, a `.ckpt` file, or an export. Plain data only; no config is used.

        Raises:
            UserError: The file is missing, damaged or of another kind.
        """
        check_weights(path)
        path = local_path(path)
        if path.is_file() and path.suffix == SUFFIX:
            stored = read_export(path)
            generators = {"generator": stored.state, **stored.others}
            discriminator = generators.pop("discriminator", {})
            prefix = WEIGHTS[stored.weights]
            state = {f"{prefix}{network}.{key}": v for network, part in generators.items() for key, v in part.items()}
            state |= {f"discriminator.{key}": value for key, value in discriminator.items()}
            return cls(path, stored.images_seen, _tensors(state))
        checkpoint = find_checkpoint(path)
        return cls(checkpoint.file, checkpoint.images_seen, _tensors(checkpoint.take()["state_dict"]))

    @torch.no_grad()
    def load_into(self, module: AdversarialModule) -> None:
        """Copy all tensors that fit into the networks of an algorithm: all players' and their averages.

        Raises:
            UserError: None fits, or one that does is not finite.
        """
        results = self.compare(module)
        if not any(each.taken for each in results.networks):
            raise ConfigError(
                f"initialize={results.file} has nothing in common with the networks of this run: none of its tensors "
                "has the name and shape of one of theirs. Choose the architecture of the file, or another file."
            )
        for each, network in zip(results.networks, networks_of(module).values(), strict=True):
            ours, theirs = _tensors(network.state_dict()), self._of(each.network)[1]
            for name in each.taken:
                value = _named(name, theirs)
                assert value is not None
                if value.is_floating_point() and not value.isfinite().all():
                    raise CheckpointError(
                        f"initialize={results.file} has values in {each.source}.{name} that are not finite: give a "
                        "checkpoint from before."
                    )
                ours[name].copy_(value)

    def compare(self, module: AdversarialModule) -> Initialization:
        """What the networks of an algorithm take, or have taken, from the file."""
        taken = [self._compare(name, network) for name, network in networks_of(module).items()]
        return Initialization(relative_path(self.file), self.images_seen, taken)

    def _compare(self, name: str, network: nn.Module) -> TakenWeights:
        source, theirs = self._of(name)
        ours = _tensors(network.state_dict())
        pairs = {key: (value, _named(key, theirs)) for key, value in ours.items()}
        taken = [key for key, (value, other) in pairs.items() if other is not None and _kind(value) == _kind(other)]
        found = {_bare(key) for key in ours}
        return TakenWeights(
            name,
            source,
            sum(ours[key].numel() for key in taken) / max(1, sum(value.numel() for value in ours.values())),
            taken,
            {key: (_kind(a), _kind(b)) for key, (a, b) in pairs.items() if b is not None and key not in taken},
            [key for key, (_, other) in pairs.items() if other is None],
            [key for key in theirs if _bare(key) not in found],
        )

    def _of(self, network: str) -> tuple[str, dict[str, Tensor]]:
        """The name in the file and the tensors of a network; of its other kind if the file has only that."""
        other = network.removeprefix(AVERAGED) if network.startswith(AVERAGED) else AVERAGED + network
        for name in (network, other):
            prefix = f"{name}."
            found = {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}
            if found:
                return name, found
        return "", {}


def random_frozen_tensors(module: AdversarialModule, taken: Initialization | None) -> list[str]:
    """Names of the tensors of frozen layers that have their random values, since no file has others."""
    found = {f"{each.network}.{name}" for each in (taken.networks if taken else ()) for name in each.taken}
    frozen = [f"{key}.{name}" for key, network in networks_of(module).items() for name in frozen_tensors(network)]
    return [name for name in frozen if name not in found]


def networks_of(module: AdversarialModule) -> dict[str, nn.Module]:
    """The networks that the players of an algorithm update, and their averages, by name in its state dict."""
    updated = {part for player in module.runner.players.values() for part in player.network.modules()}
    children = module.named_children()
    players = {
        name: child for name, child in children if name != "averaged" and not updated.isdisjoint(child.modules())
    }
    return players | {AVERAGED + name: network for name, network in module.averaged.items()}


def _tensors(state: Mapping[str, object]) -> dict[str, Tensor]:
    """Parameters and buffers of a state dict; extra state is that of a run, such as the stage of growing networks."""
    return {
        name: value
        for name, value in state.items()
        if isinstance(value, Tensor) and value.layout == torch.strided and not name.endswith("_extra_state")
    }


def _named(name: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor of this name; if there is none, that whose name differs by wrappers only."""
    if name in tensors:
        return tensors[name]
    return next((value for other, value in tensors.items() if _bare(other) == _bare(name)), None)


def _bare(name: str) -> str:
    """The name without the prefixes of wrappers."""
    while name.startswith(WRAPPED):
        name = name.removeprefix(WRAPPED)
    return name


def _short(name: str) -> str:
    """The name of a tensor for messages: that of the weight that a parametrization computes from it."""
    return name.replace("parametrizations.", "").removesuffix(".original")


def _kind(tensor: Tensor) -> str:
    """Shape and kind of a tensor, equal for tensors that fit."""
    shape = " x ".join(map(str, tensor.shape)) or "1 number"
    return shape if tensor.is_floating_point() else f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"
