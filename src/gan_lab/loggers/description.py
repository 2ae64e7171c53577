"""What a run is, for loggers that list runs side by side: choices of config groups, settings, and facts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gan_lab.keys import leaves

TAGGED = ("model", "dataset", "loss", "preset", "experiment")
"""Groups whose choices are the tags of a run."""

MAX_TAG = 64
"""Most characters of a tag in W&B."""


@dataclass(frozen=True)
class RunDescription:
    """What a run is.

    Args:
        config: The resolved config, as plain data.
        choices: The chosen groups, as in `{"model": "dcgan"}`; empty if they are not known.
        facts: What the config does not have: number of parameters, of training images, the commit.
        typed: Keys that were set on the command line.
    """

    config: Mapping[str, Any]
    choices: Mapping[str, str]
    facts: Mapping[str, Any]
    typed: Collection[str] = ()

    @property
    def names(self) -> dict[str, str]:
        """Names of the parts: the choices, without those inside of others, and the regularizers."""
        found = {group: choice for group, choice in self.choices.items() if not {"/", "@"} & set(group)}
        regularizers = self.config.get("regularizer")
        if found and isinstance(regularizers, Mapping):
            found["regularizer"] = ",".join(name for name, node in regularizers.items() if node is not None) or "none"
        return found

    def as_config(self) -> dict[str, Any]:
        """Names of the parts under the keys of their groups, whose contents are in `settings`, and the facts."""
        names = self.names
        settings = {key: value for key, value in self.config.items() if key in names}
        others = {key: value for key, value in self.config.items() if key not in names}
        return {**others, **names, "settings": settings, **self.facts} if names else {**others, **self.facts}

    def tags(self) -> list[str]:
        """Names of the parts by which runs are filtered."""
        return [self.choices[group][:MAX_TAG] for group in TAGGED if group in self.choices]

    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Names, facts, and of the config the single values and what was set: a table needs no more."""
        given = {key: value for key, value in leaves(self.config) if key in self.typed and not key.startswith("run.")}
        single = {**self.config, **given, **self.facts, **self.names}
        return {key: value for key, value in single.items() if isinstance(value, (str, int, float, bool))}
