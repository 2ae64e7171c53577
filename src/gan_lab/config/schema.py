"""The typed part of the config: what Hydra refuses with the wrong type. Light to import: no torch.

Types of `train` have no values here, but for a group that may be left out: those of the YAML files count, also in `bench`,
whose schema is merged after them.
"""

import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from gan_lab.errors import DataError

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if (folder / "train.yaml").is_file())
"""The folder of configs: inside an installed package, or at the root of a checkout."""


@dataclass
class Run:
    root: str = MISSING
    name: str = MISSING
    dir: str = MISSING


@dataclass
class Budget:
    images: int | None = MISSING
    kimg: float | None = MISSING
    epochs: float | None = MISSING


@dataclass
class Latent:
    dim: int = MISSING
    distribution: str = MISSING
    bound: float = MISSING


@dataclass
class Rollback:
    times: int = MISSING
    rate: float = MISSING


@dataclass
class Averaging:
    half_life_images: float = MISSING
    rampup: float | None = MISSING
    start_images: int = MISSING


@dataclass
class Evaluation:
    samples: int = MISSING
    real_images: int | None = MISSING
    every_images: int | None = MISSING
    times: int = MISSING
    max_share: float = MISSING
    batch_size: int = MISSING
    best: str | None = MISSING
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass
class Conditioning:
    num_classes: int | None = MISSING
    prior: str = MISSING


@dataclass
class Objective:
    metric: str | None = None
    mode: str | None = None


@dataclass
class Hardware:
    accelerator: str = MISSING
    devices: Any = MISSING
    num_nodes: int = MISSING
    strategy: str = MISSING
    precision: str = MISSING
    num_workers: int = MISSING
    find_micro_batch: bool = MISSING
    float32_matmul_precision: str = MISSING


@dataclass
class Train:
    """Top level of `conf/train.yaml`. The groups themselves are free: each is checked against what it builds."""

    allow_targets: list[str] = field(default_factory=list)
    seed: int = MISSING
    batch_size: int = MISSING
    n_critic: int = MISSING
    generator_batches: int = MISSING
    lr: float = MISSING
    betas: list[float] = MISSING
    label_smoothing: float = MISSING
    adversarial_weight: float = MISSING
    accumulate: int = MISSING
    clip_norm: float | None = MISSING
    on_collapse: str = MISSING
    on_non_finite: str = MISSING
    rollback: Rollback = field(default_factory=Rollback)
    check_finite: bool = MISSING
    width: int = MISSING
    resume: str | None = MISSING
    allow_changes: bool = MISSING
    time_limit: str | None = MISSING
    run: Run = field(default_factory=Run)
    budget: Budget = field(default_factory=Budget)
    latent: Latent = field(default_factory=Latent)
    conditioning: Conditioning = field(default_factory=Conditioning)
    averaging: Averaging = field(default_factory=Averaging)
    evaluation: Evaluation = field(default_factory=Evaluation)
    extractor: dict[str, Any] | None = None
    objective: Objective = field(default_factory=Objective)
    hardware: Hardware = field(default_factory=Hardware)
    game: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    regularizer: dict[str, Any] = field(default_factory=dict)
    constraint: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)
    wrapper: dict[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    growth: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)


@dataclass
class Sample:
    """Top level of `conf/sample.yaml`."""

    allow_targets: list[str] = field(default_factory=list)
    run: str = MISSING
    count: int = MISSING
    seed: int = MISSING
    weights: str = MISSING
    labels: Any = None
    truncation: float | None = None
    truncation_form: str = MISSING
    batch_norm: str = MISSING
    out: str | None = None
    columns: int | None = None
    files: bool = MISSING
    device: str | None = None


@dataclass
class Interpolate:
    """Top level of `conf/interpolate.yaml`."""

    allow_targets: list[str] = field(default_factory=list)
    run: str = MISSING
    count: int = MISSING
    seconds: float = MISSING
    fps: float = MISSING
    smoothing: float = MISSING
    seed: int = MISSING
    weights: str = MISSING
    labels: Any = None
    truncation: float | None = None
    truncation_form: str = MISSING
    columns: int | None = None
    out: str | None = None
    device: str | None = None


@dataclass
class Export:
    """Top level of `conf/export.yaml`."""

    allow_targets: list[str] = field(default_factory=list)
    run: str = MISSING
    weights: str = MISSING
    out: str | None = None


@dataclass
class ReadsData:
    """What every command has that reads a data set outside training; the schemas of those commands add to it."""

    allow_targets: list[str] = field(default_factory=list)
    batch_size: int = MISSING
    width: int = MISSING
    hardware: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)


@dataclass
class Evaluate(ReadsData):
    """Top level of `conf/evaluate.yaml`."""

    device: str | None = None
    extractor: dict[str, Any] | None = None
    run: str = MISSING
    images: str | None = None
    weights: str = MISSING
    seed: int = MISSING
    truncation: float | None = None
    truncation_form: str = MISSING
    batch_norm: str = MISSING
    out: str | None = None
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class Neighbours(ReadsData):
    """Top level of `conf/neighbours.yaml`."""

    device: str | None = None
    extractor: dict[str, Any] = field(default_factory=dict)
    run: str = MISSING
    count: int = MISSING
    nearest: int = MISSING
    samples: int = MISSING
    seed: int = MISSING
    weights: str = MISSING
    mirrored: bool | None = None
    out: str | None = None


@dataclass
class Truncation(ReadsData):
    """Top level of `conf/truncation.yaml`."""

    device: str | None = None
    extractor: dict[str, Any] | None = None
    run: str = MISSING
    thresholds: list[float] = MISSING
    truncation_form: str = MISSING
    batch_norm: str = MISSING
    weights: str = MISSING
    seed: int = MISSING
    count: int = MISSING
    out: str | None = None
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class Duplicates(ReadsData):
    """Top level of `conf/duplicates.yaml`."""

    device: str | None = None
    extractor: dict[str, Any] = field(default_factory=dict)
    method: str = MISSING
    threshold: float | None = None
    epochs: int = MISSING
    seed: int = MISSING
    count: int = MISSING
    out: str = MISSING


@dataclass
class Prepare(ReadsData):
    """Top level of `conf/prepare.yaml`."""

    resolutions: list[int] | None = None
    out: str = MISSING
    seed: int = MISSING


@dataclass
class Report:
    """Top level of `conf/report.yaml`."""

    run: str = MISSING
    out: str | None = None


@dataclass
class Compare:
    """Top level of `conf/compare.yaml`."""

    runs: str = MISSING
    show: list[str] = MISSING
    columns: int = MISSING
    heatmap: list[str] | None = None
    mixed_protocols: bool = MISSING
    out: str | None = None


@dataclass
class BenchSettings:
    seconds: float = MISSING
    rounds: int = MISSING
    warmup_batches: int = MISSING
    resolutions: list[int] | None = MISSING
    tflops: float | None = MISSING


@dataclass
class Bench(Train):
    """Top level of `conf/bench.yaml`."""

    bench: BenchSettings = field(default_factory=BenchSettings)


@dataclass
class List:
    """Top level of `conf/list.yaml`."""

    what: str = MISSING
    format: str = MISSING
    root: str = MISSING


@dataclass
class Search:
    """`hydra.sweeper` of `hydra/sweeper=optuna`."""

    _target_: str = "hydra_plugins.gan_lab_optuna.OptunaSweeper"
    params: dict[str, Any] | None = field(default_factory=dict)
    trials: int = MISSING
    at_once: int = MISSING
    sampler: str = MISSING
    seed: int = MISSING
    study: str = MISSING
    storage: str | None = None


_made: set[str] = set()  # ids that this process has made up
_claimed: dict[str, str] = {}  # folders with such names to those that were made for them


def run_id() -> str:
    """Date, time and six random letters; in a step of a SLURM job the numbers of both, which a requeued job has again."""
    job, step = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_STEP_ID", "")
    if job and step.isdigit():
        return f"slurm-{job}-{step}"
    made = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"
    _made.add(made)
    return made


def run_folder(path: str) -> str:
    """The folder in which Hydra begins. One whose name was made up is made here, in one step, so that nobody shares it."""
    if not any(made in path for made in _made):
        return path
    if path not in _claimed:
        _claimed[path] = _make(path)
    return _claimed[path]


def _make(path: str) -> str:
    for number in itertools.count(1):
        folder = path if number == 1 else f"{path}-{number}"
        try:
            os.makedirs(os.path.dirname(folder) or ".", exist_ok=True)
            os.mkdir(folder)
        except OSError as error:
            if not os.path.isdir(folder):  # else somebody was faster
                raise DataError(f"{error.filename} cannot be written: {error.strerror}.") from error
        else:
            return folder
    raise AssertionError("unreachable")


def notes_folder(path: str) -> str:
    """Where Hydra notes what was typed: apart from the first notes of a run that goes on."""
    return ".hydra/resumed" if os.path.isfile(os.path.join(path, "config.yaml")) else ".hydra"


def prepared(source: str, key: str) -> Any:
    """What a prepared data set says of itself: `resolution`, the largest, or `channels`."""
    from gan_lab.data.pyramid import read_description

    pyramid = read_description(source)
    return {"resolution": pyramid.resolutions[-1], "channels": pyramid.channels}[key]


def register() -> None:
    """Make the schemas and the resolvers of run names, run folders and prepared data sets known to Hydra. May be called again."""
    OmegaConf.register_new_resolver("run_id", run_id, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
    OmegaConf.register_new_resolver("notes_folder", notes_folder, replace=True)
    OmegaConf.register_new_resolver("prepared", prepared, replace=True)
    store = ConfigStore.instance()
    schemas = {
        "train": Train, "sample": Sample, "interpolate": Interpolate, "export": Export, "evaluate": Evaluate,
        "truncation": Truncation, "neighbours": Neighbours, "duplicates": Duplicates, "prepare": Prepare, "report": Report,
        "compare": Compare, "bench": Bench, "list": List,
    }  # fmt: skip
    for name, schema in schemas.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="hydra/sweeper", name="optuna_schema", node=Search)
