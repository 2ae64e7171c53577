"""What metrics learn of real images, once for each content, extractor and preprocessing, shared between runs by a cache."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from filelock import FileLock
from torch import Tensor
from torchmetrics import Metric

from gan_lab.metrics.cache import cache_folder, keep
from gan_lab.metrics.features import FeatureMetric
from gan_lab.metrics.measuring import Labelled, refusals_told

State = dict[str, Tensor]

_VERSION = 1  # part of every file name in the cache; raise it when a state means something else

log = logging.getLogger(__name__)


class RealSamples(Protocol):
    """A data set, as far as metrics know it."""

    def fingerprint(self) -> str:
        """A hash of what the samples hold."""

    @property
    def split(self) -> str | None:
        """Which part of a published set they are, if there are parts."""

    def reals(self, count: int | None, batch_size: int) -> Iterator[Labelled]:
        """The samples and their labels, a part at a time, on any device."""


def learn_reals(
    metrics: Mapping[str, Metric], data: RealSamples, count: int | None, batch_size: int, folder: Path | None = None
) -> dict[str, str | None]:
    """Show the real samples to every metric that compares with them, or give it what another run has learned of them.

    What a `FeatureMetric` learns is kept in a file that is named by the content of the data, the number of samples, the
    extractor's weights, and how images are prepared for it: a changed pixel or weight makes another file. Of several
    processes that need the same file one makes it, and the others wait. A file appears under its name only when it is complete.

    Args:
        metrics: By name; those without `real_state` see nothing.
        data: The real samples.
        count: How many; None for all.
        batch_size: Samples at a time.
        folder: Where the files are; by default `cache_folder()` / "reals".

    Returns:
        What the numbers of these metrics depend on beside the metrics: `real_content`, the fingerprint of the data, and
        `real_split`; nothing where no metric compares.

    Raises:
        ConfigError: A metric refuses the samples.
        DataError: The samples cannot be had.
    """
    comparing = [metric for metric in metrics.values() if hasattr(metric, "real_state")]
    kept = [
        metric for metric in comparing if isinstance(metric, FeatureMetric) and metric.protocol["extractor_fingerprint"]
    ]
    if not comparing:
        return {}
    folder = folder or cache_folder() / "reals"
    content = data.fingerprint()
    files = {id(metric): folder / f"{_key(metric, content, count)}.pt" for metric in kept}
    with _locked(files.values()):
        kinds = {files[id(metric)]: metric.real_kind for metric in kept}
        states = {file: _load(file, kind) for file, kind in kinds.items()}
        found = {file: state for file, state in states.items() if state is not None}
        ignorant = [metric for metric in comparing if files.get(id(metric)) not in found]
        _show(ignorant, data, count, batch_size)
        for metric in ignorant:
            if (new := files.get(id(metric))) is not None and new not in found:
                found[new] = cast(FeatureMetric, metric).real_state()
                keep(found[new], new, "What was learned of the real images")
    shown = {id(metric) for metric in ignorant}  # metrics make a new metric of ==
    for metric in kept:
        if id(metric) not in shown:
            metric.load_real_state(found[files[id(metric)]])
    return {"real_content": content, "real_split": data.split}


def _show(metrics: list[Any], data: RealSamples, count: int | None, batch_size: int) -> None:
    if not metrics:
        return
    for metric in metrics:
        metric.reset()
    for samples, labels in data.reals(count, batch_size):
        # One tensor for all metrics on a device, which an extractor that they share knows again.
        there = {device: samples.to(device) for device in {metric.device for metric in metrics}}
        with refusals_told():
            for metric in metrics:
                if getattr(metric, "takes_labels", False):
                    metric.update(there[metric.device], real=True, labels=labels)
                else:
                    metric.update(there[metric.device], real=True)


def _key(metric: FeatureMetric, content: str, count: int | None) -> str:
    parts = [_VERSION, content, count, metric.real_kind, *metric.extractor_protocol().values()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


@contextmanager
def _locked(files: Iterable[Path]) -> Iterator[None]:
    """Hold the locks of these files, where they can be written at all."""
    with ExitStack() as locks:
        try:
            for file in sorted(
                set(files)
            ):  # in the same order everywhere, so that no two processes wait for each other
                file.parent.mkdir(parents=True, exist_ok=True)
                locks.enter_context(FileLock(file.with_name(f".{file.stem}.lock")))
        except OSError as error:
            log.warning(
                "What is learned of the real images cannot be kept for the next run; %s: %s", file.parent, error
            )
        yield


def _load(file: Path, kind: str) -> State | None:
    """The state of this kind in a file, or None where there is none that can be read."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        if not (isinstance(state, dict) and set(state) == {kind} and isinstance(state[kind], Tensor)):
            raise ValueError(f"it does not hold {kind}")
        return state
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # damaged bytes lead the reader to whatever they like
        log.warning("%s cannot be read, and what it held is learned anew: %s", file, error)
        return None
