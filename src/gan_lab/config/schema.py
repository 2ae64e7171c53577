"""Types of the config keys, for Hydra's type checks. Light to import: no torch.

Keys of `train` have no defaults here, except for optional groups: the values come from the YAML files, also in `bench`,
whose schema is merged after them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

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
    lr_factor: float = MISSING


@dataclass
class Trouble:
    on_collapse: str = MISSING
    on_non_finite: str = MISSING
    rollback: Rollback = field(default_factory=Rollback)
    check_finite: bool = MISSING


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
    max_time_fraction: float = MISSING
    batch_size: int = MISSING
    best: str | None = MISSING
    metrics: dict[str, Any] = field(default_factory=dict)


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
    compile: Any = MISSING


@dataclass
class Train:
    """Top level of `conf/train.yaml`. Nodes of groups are untyped: each is checked against the class it names."""

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
    trouble: Trouble = field(default_factory=Trouble)
    width: int | None = MISSING
    default_width: int = MISSING
    initialize: str | None = MISSING
    freeze_discriminator: int = MISSING
    resume: str | None = MISSING
    allow_changes: bool = MISSING
    time_limit: str | None = MISSING
    run: Run = field(default_factory=Run)
    budget: Budget = field(default_factory=Budget)
    latent: Latent = field(default_factory=Latent)
    conditioning: dict[str, Any] = field(default_factory=dict)
    averaging: Averaging = field(default_factory=Averaging)
    evaluation: Evaluation = field(default_factory=Evaluation)
    extractor: dict[str, Any] | None = None
    objective: Objective = field(default_factory=Objective)
    hardware: Hardware = field(default_factory=Hardware)
    algorithm: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    regularizer: dict[str, Any] = field(default_factory=dict)
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
class Builds:
    """Keys of all commands that build objects from a config."""

    allow_targets: list[str] = field(default_factory=list)


@dataclass
class LoadsGenerator(Builds):
    """Keys of all commands that load the generator of a run."""

    run: str = MISSING
    weights: str = MISSING
    out: str | None = None


@dataclass
class Draws(LoadsGenerator):
    """Keys of all commands that draw samples of a run."""

    seed: int = MISSING
    device: str | None = None


@dataclass
class ReadsData(Builds):
    """Keys of all commands that read a data set outside training."""

    dataset: dict[str, Any] = field(default_factory=dict)


@dataclass
class Sample(Draws):
    """Top level of `conf/sample.yaml`."""

    count: int = MISSING
    labels: Any = None
    generator: Any = None
    truncation: float | None = None
    truncation_form: str = MISSING
    truncation_cutoff: int | None = None
    batch_norm: str = MISSING
    noise: str = MISSING
    mixing: str | None = None
    direction: str | None = None
    number: int = MISSING
    distance: float = MISSING
    columns: int | None = None
    files: bool = MISSING


@dataclass(init=False, repr=False, eq=False)
class _From:
    """The key `from`, a keyword of Python, which cannot be the argument or attribute of generated methods."""

    __annotations__ = {"from": Any}
    locals()["from"] = None


@dataclass(init=False, repr=False, eq=False)
class Interpolate(Draws, _From):
    """Top level of `conf/interpolate.yaml`."""

    count: int = MISSING
    seconds: float = MISSING
    fps: float = MISSING
    smoothing: float = MISSING
    space: str = MISSING
    to: Any = None
    direction: str | None = None
    number: int = MISSING
    distance: float = MISSING
    labels: Any = None
    generator: Any = None
    truncation: float | None = None
    truncation_form: str = MISSING
    truncation_cutoff: int | None = None
    noise: str = MISSING
    columns: int | None = None


@dataclass
class Translate(Draws):
    """Top level of `conf/translate.yaml`."""

    source: str = MISSING
    direction: str | None = None
    stochastic: bool = MISSING
    resize: int | None = None
    batch_size: int = MISSING


@dataclass
class Export(LoadsGenerator):
    """Top level of `conf/export.yaml`."""

    format: str = MISSING
    space: str | None = None
    license: str | None = None


@dataclass
class Push(Builds):
    """Top level of `conf/push.yaml`."""

    run: str = MISSING
    weights: str = MISSING
    repo: str = MISSING
    private: bool = MISSING
    license: str | None = None
    message: str | None = None
    replace: bool = MISSING
    dry_run: bool = MISSING


@dataclass
class Import:
    """Top level of `conf/import.yaml`."""

    source: str = MISSING
    format: str = MISSING
    discriminator: str | None = None
    weights: str = MISSING
    truncation: float = MISSING
    out: str | None = None


@dataclass
class Evaluate(Draws, ReadsData):
    """Top level of `conf/evaluate.yaml`."""

    extractor: dict[str, Any] | None = None
    images: str | None = None
    truncation: Any = None
    truncation_form: str = MISSING
    truncation_cutoff: int | None = None
    batch_norm: str = MISSING
    noise: str = MISSING
    count: int = MISSING
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class Memorization(Draws, ReadsData):
    """Top level of `conf/memorization.yaml`."""

    batch_size: int = MISSING
    extractor: dict[str, Any] = field(default_factory=dict)
    count: int = MISSING
    nearest: int = MISSING
    samples: int = MISSING
    mirrored: bool | None = None


@dataclass
class InspectsDiscriminator(ReadsData):
    """Keys of all commands that inspect the discriminator of a run."""

    run: str = MISSING
    seed: int = MISSING
    batch_size: int = MISSING
    device: str | None = None
    out: str | None = None


@dataclass
class Probe(InspectsDiscriminator):
    """Top level of `conf/probe.yaml`."""

    network: str = MISSING
    labels_per_class: int | None = MISSING
    draws: int = MISSING
    search_draws: int = MISSING
    validation: int | None = None
    test: Any = None
    costs: list[float] = MISSING
    layers: list[int] | None = None
    pool: int | None = MISSING
    statistics: str = MISSING
    pca: int | None = MISSING
    untrained: bool = MISSING
    supervised: int | None = None


@dataclass
class Visualize(InspectsDiscriminator):
    """Top level of `conf/visualize.yaml`."""

    layer: int | None = None
    maps: list[int] = MISSING
    images: int | None = MISSING
    count: int = MISSING
    rule: str = MISSING


@dataclass
class Concept:
    rule: str | None = None
    threshold: float = MISSING
    rectangle: list[float] | None = None
    masks: str | None = None
    boxes: str | None = None
    label: Any = None
    patch: float = MISSING
    area: float = MISSING


@dataclass
class Classifies(Draws, ReadsData):
    """Keys of all commands that may classify the samples of a run."""

    classifier: str | None = None


@dataclass
class Forget(Classifies):
    """Top level of `conf/forget.yaml`."""

    concept: Concept = field(default_factory=Concept)
    layer: int | None = None
    samples: int = MISSING
    held_out: int = MISSING
    test_samples: int = MISSING
    drop: list[int] = MISSING
    random_sets: int = MISSING
    show: int = MISSING
    insert: list[float] | None = None
    count: int = MISSING
    batch_size: int = MISSING


@dataclass
class Directions(Classifies):
    """Top level of `conf/directions.yaml`."""

    method: str = MISSING
    space: str | None = None
    directions: int = MISSING
    layer: int = MISSING
    samples: int = MISSING
    rule: str | None = None
    threshold: float = MISSING
    label: Any = None
    scores: str | None = None
    tail: float = MISSING
    orthogonal_to: list[str] = field(default_factory=list)
    distances: list[float] = MISSING
    show: int = MISSING
    count: int = MISSING
    batch_size: int = MISSING


@dataclass
class Invert(Draws):
    """Top level of `conf/invert.yaml`."""

    images: str | None = None
    count: int = MISSING
    fit: str = MISSING
    space: str | None = None
    labels: Any = None
    distance: str = MISSING
    steps: int = MISSING
    starts: int = MISSING
    start: str | None = None
    lr: float | None = None
    prior_weight: float = MISSING
    style_noise: float = MISSING


@dataclass
class Arithmetic(Classifies):
    """Top level of `conf/arithmetic.yaml`."""

    a: list[int] | None = None
    b: list[int] | None = None
    c: list[int] | None = None
    to: list[int] | None = None
    steps: int = MISSING
    rule: str | None = None
    threshold: float = MISSING
    classes: Any = None
    exemplars: list[int] = MISSING
    trials: int = MISSING
    samples: int = MISSING
    space: str | None = None
    rescale: bool = MISSING
    noise: float = MISSING
    labels: Any = None


@dataclass
class Explore(Builds):
    """Top level of `conf/explore.yaml`."""

    run: str = MISSING
    other: str | None = None
    host: str = MISSING
    port: int = MISSING
    proxy: str | None = None
    minutes: float | None = None
    directions: str | None = None
    method: str = MISSING
    space: str | None = None
    layer: int | None = None
    seed: int = MISSING
    weights: str = MISSING
    device: str | None = None


@dataclass
class Duplicates(ReadsData):
    """Top level of `conf/duplicates.yaml`."""

    batch_size: int = MISSING
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

    runs: Any = MISSING
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


@dataclass
class New:
    """Top level of `conf/new.yaml`."""

    kind: str = MISSING
    name: str = MISSING
    package: str = MISSING


@dataclass
class Runs:
    """Top level of `conf/runs.yaml`."""

    root: str = MISSING
    sort: str = MISSING
    filter: str | None = None


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


SCHEMAS = {
    "train": Train, "sample": Sample, "interpolate": Interpolate, "translate": Translate, "export": Export,
    "import": Import, "push": Push,
    "evaluate": Evaluate, "memorization": Memorization, "duplicates": Duplicates, "prepare": Prepare, "report": Report,
    "probe": Probe, "visualize": Visualize, "forget": Forget,
    "directions": Directions, "invert": Invert,
    "arithmetic": Arithmetic, "explore": Explore,
    "compare": Compare, "bench": Bench, "list": List, "new": New, "runs": Runs,
}  # fmt: skip
"""Schema of the config of each command."""
