"""Which keys of a config describe the training, and so distinguish runs that are compared."""

NOT_OF_TRAINING = (
    "run.", "resume", "allow_changes", "allow_targets", "time_limit", "logger", "metrics", "extractor", "evaluation.",
    "objective.", "callbacks.checkpoints.", "callbacks.environment.", "callbacks.evaluation.", "callbacks.preemption.",
    "callbacks.progress.", "callbacks.sample_grids.", "callbacks.stage_grids.", "callbacks.train_log.",
    "callbacks.warnings.", "hardware.accelerator", "hardware.devices", "hardware.num_nodes", "hardware.strategy",
    "hardware.num_workers", "hardware.find_micro_batch", "trainer.accelerator", "trainer.devices", "trainer.num_nodes",
    "trainer.strategy", "trainer.profiler", "trainer.detect_anomaly", "dataset.num_workers", "dataset.cache",
    "dataset.budget_images", "budget.kimg", "budget.epochs",
)  # fmt: skip
"""Prefixes of keys that only affect where a run is stored, shown, measured and computed; protocols are compared
separately, and the budget in images."""

GROUPS_BY_KEY = ("hardware", "callbacks", "evaluation", "debug", "local")
"""Groups whose choices are not compared, but some of the keys that they set."""

PATHS_OF_DATA = ("dataset.source", "dataset.exclude")
"""Keys that identify a data set only if its content is unknown."""


def is_of_training(key: str) -> bool:
    """Whether a key, or a group, is a property of the training, other than its seed."""
    return not key.startswith(NOT_OF_TRAINING) and key not in GROUPS_BY_KEY and key.rpartition(".")[2] != "seed"
