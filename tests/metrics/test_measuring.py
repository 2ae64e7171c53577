"""Measuring: metrics of samples with their protocol, and the file of results."""

import csv
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from gan_lab.errors import ConfigError
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.measuring import append_records, forget_records, measure, measurements, write_results
from gan_lab.metrics.ms_ssim import MSSSIM
from gan_lab.metrics.naming import log_name, short_count
from gan_lab.metrics.protocol import Measurement, MeasurementProtocol
from tests.helpers.pixel_features import pixel_features

COMMON = MeasurementProtocol(samples=10, seed=3, weights="ema", version="1")


class Labeled(Metric):
    """Separate sums of samples and labels."""

    takes_labels = True
    protocol = {"seed": 7, "labeled": True}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Tensor, Tensor | None]] = []

    def update(self, samples: Tensor, labels: Tensor | None = None) -> None:
        self.given.append((samples, labels))

    def compute(self) -> dict[str, Tensor]:
        labels = [labels for _, labels in self.given if labels is not None]
        total = sum(samples.sum() for samples, _ in self.given)
        return {"labels": torch.cat(labels).sum() if labels else torch.tensor(-1), "samples": total}


def chunks(labels: bool = True) -> list[tuple[Tensor, Tensor | None]]:
    parts = torch.arange(10.0).split(4)
    return [(part, part.long() if labels else None) for part in parts]


def test_labels_reach_metrics_that_take_them() -> None:
    metrics = {"labeled": Labeled(), "mean": MeanMetric()}
    assert measure(metrics, chunks()) == {
        "labeled": {"labeled_labels_10": 45, "labeled_samples_10": 45},
        "mean": {"mean_10": 4.5},
    }
    metrics["labeled"].given.clear()
    assert measure(metrics, chunks(labels=False))["labeled"]["labeled_labels_10"] == -1


def test_earlier_generated_images_are_dropped_but_not_the_real_images() -> None:
    images = torch.rand(3, 8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    metric = FrechetDistance(pixel_features())
    metric.update(images[0], real=True)
    first = measure({"fd": metric}, [(images[1], None)])
    other = measure({"fd": metric}, [(images[2], None)])
    assert first == measure({"fd": metric}, [(images[1][:3], None), (images[1][3:], None)]) != other
    assert set(first["fd"]) == {"fd_pixels_8"} and metric.protocol["generated_images"] == 8


def test_refusals_of_metrics_are_user_errors() -> None:
    with pytest.raises(ConfigError, match=r"^MS-SSIM halves images .* must be multiples of 16; .*\(2, 1, 8, 8\)\.$"):
        measure({"ms_ssim": MSSSIM()}, [(torch.zeros(2, 1, 8, 8), None)])
    with pytest.raises(ConfigError, match=r"^FrechetDistance needs at least 2 real images, but has 0\.$"):
        measure({"fd": FrechetDistance(pixel_features())}, [(torch.zeros(2, 1, 8, 8), None)])
    with pytest.raises(ConfigError, match=r"^The generated features are not finite"):
        measure({"fd": FrechetDistance(pixel_features(broken=True))}, [(torch.zeros(2, 1, 8, 8), None)])

    def broken() -> Any:
        yield torch.zeros(2, 1, 16, 16), None
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):  # errors of the generator are not caught
        measure({"ms_ssim": MSSSIM()}, broken())


def test_names() -> None:
    features = {"fd": FrechetDistance(pixel_features()), "mean": MeanMetric()}
    assert [log_name(name, metric) for name, metric in features.items()] == ["fd_pixels", "mean"]
    extractor = pixel_features(seed=4)
    extractor.name = "inception"
    metric = FrechetDistance(extractor)
    names = {name: log_name(name, metric) for name in ("fd", "kd", "pr")}
    assert names == {"fd": "fid", "kd": "kid", "pr": "pr_inception"}
    assert [short_count(n) for n in (10_000, 25_600, 1000, 999, 50_000)] == ["10k", "25600", "1k", "999", "50k"]


def test_protocol_is_complete() -> None:
    """The metric's own seed is listed beside the seed of the samples."""
    metric = Labeled()
    found = measurements(
        {"x": metric}, {"x": {"x_labels_10": 1.0, "x_samples_10": float("nan")}}, COMMON, {"real_split": "train"}
    )
    own = {
        "samples": 10, "weights": "ema", "seed": 3, "images_seen": None, "batch_norm": None, "truncation": None,
        "version": "1",
        "x_seed": 7, "labeled": True,
    }  # fmt: skip
    assert {key: measurement.to_json() for key, measurement in found.items()} == {
        "x_labels_10": {"value": 1.0, "ideal_value": None, **own},
        "x_samples_10": {"value": None, "ideal_value": None, **own},
    }


def test_only_metrics_of_real_samples_have_them_in_their_protocol() -> None:
    metrics = {"x": Labeled(), "fd": FrechetDistance(pixel_features())}
    values = {"x": {"x_10": 1.0}, "fd": {"fd_pixels_10": 2.0}}
    found = measurements(metrics, values, COMMON, {"real_content": "abc", "real_split": "test"})
    protocol = found["fd_pixels_10"].protocol
    assert (protocol.real_content, protocol.real_split, protocol.extractor) == ("abc", "test", "pixels")
    assert not any(name.startswith("real_") for name in found["x_10"].to_json())


def test_results_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.json"
    write_results(file, {"a": Measurement(1.5)})
    before = file.read_bytes()
    assert json.loads(before)["a"]["value"] == 1.5
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space")))
        with pytest.raises(OSError, match="no space"):
            write_results(file, {"b": Measurement(2.0)})
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def lines(file: Path) -> list[tuple[int, str, str]]:
    with file.open() as rows:
        return [(int(row["images_seen"]), row["weights"], row["key"]) for row in csv.DictReader(rows)]


@pytest.mark.parametrize(
    "damage", [b"\xff\n", b"10,ema,x\n", b"a,ema,x,1,1,{}\n", b"-1,ema,x,1,1,{}\n", b'20,ema,x,1,1,"{""a', bytes(99),
               b"x" * 200_000 + b"\n"],
)  # fmt: skip
def test_damaged_lines_are_set_aside(damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "evaluations.csv"
    append_records(file, 10, "ema", {"x": Measurement(0.5)})
    before = file.read_bytes()
    file.write_bytes(before + damage)
    forget_records(file, 20)
    assert f"{file} has damaged lines: they are left out, and {file}.damaged is the old file." in caplog.text
    assert (tmp_path / "evaluations.csv.damaged").read_bytes() == before + damage
    assert lines(file) == [(10, "ema", "x")]


def test_half_a_line_costs_no_other(tmp_path: Path) -> None:
    file = tmp_path / "evaluations.csv"
    append_records(file, 10, "ema", {"x": Measurement(0.5)})
    os.truncate(file, file.stat().st_size - 20)
    append_records(file, 20, "ema", {"x": Measurement(0.5)})
    forget_records(file, 20)
    assert lines(file) == [(20, "ema", "x")]


def test_lines_are_added_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "evaluations.csv"
    forget_records(file, 0)
    assert not file.exists()
    found = {key: Measurement(0.5, None, MeasurementProtocol(options={"text": 'a "b", c\nd'})) for key in ("x", "y")}
    for seen in (10, 20, 30):
        for weights in ("ema", "raw"):
            append_records(file, seen, weights, found)
    everything = lines(file)
    assert len(everything) == 12
    forget_records(file, 30)
    assert lines(file) == everything
    forget_records(file, 20)
    assert lines(file) == everything[:8]
    forget_records(file, 20, {("raw", "x"), ("raw", "z")})
    assert lines(file) == [line for line in everything[:8] if line != (20, "raw", "x")]
    forget_records(file, 15)
    append_records(file, 20, "ema", {"x": found["x"]})
    assert lines(file) == [*everything[:4], (20, "ema", "x")]
    with file.open() as rows:
        last = list(csv.DictReader(rows))[-1]
    assert (
        last["value"] == "0.5" and last["ideal_value"] == "" and json.loads(last["protocol"])["text"] == 'a "b", c\nd'
    )


def test_times_of_generation_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("gan_lab.metrics.measuring.time", SimpleNamespace(perf_counter=lambda: clock.now))

    def goes_by(seconds: float) -> None:
        clock.now += seconds

    class Slow(MeanMetric):
        def update(self, samples: Tensor) -> None:  # type: ignore[override]
            goes_by(10)
            super().update(samples)

        def compute(self) -> Tensor:
            goes_by(100)
            return super().compute()

    chunks = ((torch.zeros(2), goes_by(1)) for _ in range(3))  # type: ignore[func-returns-value]
    seconds: dict[str, float] = {"samples": 1000}
    measure({"x": Slow(), "y": Slow()}, chunks, seconds)
    assert seconds == {"samples": 1003, "features": 60, "x": 100, "y": 100}
