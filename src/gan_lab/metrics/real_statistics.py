"""Statistics of real images for metrics, cached by data content, extractor and preprocessing for all runs."""

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

from gan_lab.metrics.cache import cache_folder, save_or_warn
from gan_lab.metrics.features import FeatureMetric
from gan_lab.metrics.measuring import Labeled, value_errors_as_config_errors
from gan_lab.progress import progress

State = dict[str, Tensor]

_VERSION = 2  # part of every cache file's name; increase it when the meaning of a state changes

log = logging.getLogger(__name__)


class RealSamples(Protocol):
    """Interface of a data set for metrics."""

    def fingerprint(self) -> str:
        """Hash of the samples' content."""

    @property
    def content_hash(self) -> str | None:
        """Hash that is in the config of runs on this data set."""

    @property
    def source(self) -> str | None:
        """Path or name, as the user gave it."""

    @property
    def split(self) -> str | None:
        """Split of the published data set, if it has splits."""

    def reals(self, count: int | None, batch_size: int) -> Iterator[Labeled]:
        """The samples and their labels in batches, on any device."""


def load_or_compute_real_statistics(
    metrics: Mapping[str, Metric], data: RealSamples, count: int | None, batch_size: int, folder: Path | None = None
) -> dict[str, str | None]:
    """Give each metric its statistics of the real samples, from the cache or computed from the data.

    The statistics of a `FeatureMetric` are cached in a file named by a hash of the data's content, the number of
    samples, the extractor's weights and its preprocessing, so a changed pixel or weight gives another file. If several
    processes need the same file, one writes it and the others wait. Files are written atomically.

    Args:
        metrics: By name; metrics without `real_state` are not changed.
        data: The real samples.
        count: Number of samples; None for all.
        batch_size: Samples in a batch.
        folder: Folder of the files; by default `cache_folder()` / "reals".

    Returns:
        Protocol entries of the real samples: `real_content`, the fingerprint of the data, and others; empty if no
        metric compares with real samples.

    Raises:
        ConfigError: A metric cannot be computed on the samples.
        DataError: The samples cannot be read.
    """
    comparing = [metric for metric in metrics.values() if hasattr(metric, "real_state")]
    cached = [
        metric for metric in comparing if isinstance(metric, FeatureMetric) and metric.protocol["extractor_fingerprint"]
    ]
    if not comparing:
        return {}
    folder = folder or cache_folder() / "reals"
    content = data.fingerprint()
    files = {id(metric): folder / f"{_key(metric, content, count)}.pt" for metric in cached}
    with _locked(files.values()):
        kinds = {files[id(metric)]: metric.real_kind for metric in cached}
        states = {file: _load(file, kind) for file, kind in kinds.items()}
        found = {file: state for file, state in states.items() if state is not None}
        missing = [metric for metric in comparing if files.get(id(metric)) not in found]
        _update(missing, data, count, batch_size)
        for metric in missing:
            if (new := files.get(id(metric))) is not None and new not in found:
                found[new] = cast(FeatureMetric, metric).real_state()
                save_or_warn(found[new], new, "The statistics of the real images")
    updated = {id(metric) for metric in missing}  # by id, since == of metrics returns a new metric
    for metric in cached:
        if id(metric) not in updated:
            metric.load_real_state(found[files[id(metric)]])
    return {
        "real_content": content, "real_data": data.content_hash, "real_source": data.source, "real_split": data.split,
    }  # fmt: skip


def _update(metrics: list[Any], data: RealSamples, count: int | None, batch_size: int) -> None:
    """Update the metrics with all real samples."""
    if not metrics:
        return
    for metric in metrics:
        metric.reset()
    batches = None if count is None else -(-count // batch_size)
    for samples, labels in progress(data.reals(count, batch_size), "real images of the metrics", batches):
        # The same tensor for all metrics on a device, so that a shared extractor computes its features once.
        on_device = {device: samples.to(device) for device in {metric.device for metric in metrics}}
        with value_errors_as_config_errors():
            for metric in metrics:
                if getattr(metric, "takes_labels", False):
                    metric.update(on_device[metric.device], real=True, labels=labels)
                else:
                    metric.update(on_device[metric.device], real=True)


def _key(metric: FeatureMetric, content: str, count: int | None) -> str:
    parts = [_VERSION, content, count, metric.real_kind, *metric.extractor_protocol().values()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


@contextmanager
def _locked(files: Iterable[Path]) -> Iterator[None]:
    """Hold the locks of these files; log a warning if the files cannot be written."""
    with ExitStack() as locks:
        try:
            for file in sorted(set(files)):  # the same order in all processes, so that there is no deadlock
                file.parent.mkdir(parents=True, exist_ok=True)
                locks.enter_context(FileLock(file.with_name(f".{file.stem}.lock")))
        except OSError as error:
            log.warning("The statistics of the real images cannot be cached in %s: %s", file.parent, error)
        yield


def _load(file: Path, kind: str) -> State | None:
    """The state of this kind in a file; None if the file does not exist or cannot be read."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        if not (isinstance(state, dict) and set(state) == {kind} and isinstance(state[kind], Tensor)):
            raise ValueError(f"it does not contain {kind}")
        return state
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # a damaged file can raise any error in the reader
        log.warning("%s cannot be read, and its statistics are computed again: %s", file, error)
        return None
