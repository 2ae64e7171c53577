"""Labels and numbers of generators of samples, from the values that users give."""

from collections.abc import Sequence
from typing import Any

from gan_lab.errors import ConfigError, unknown_choice


def labels_in_rows(
    labels: Any, count: int, classes: int | None, names: Sequence[str] | None = None
) -> list[int] | None:
    """One label for each of `count` samples, sorted by class.

    Args:
        labels: A user's value: `null`, a number or name of a class, a list of them, or `all`.
        count: Number of samples.
        classes: Number of classes; None without labels.
        names: Names of the classes, if they are known.

    Raises:
        ConfigError: The value is none of these.
    """
    if labels is None:
        return None
    if labels == "all":
        chosen = list(range(classes or 1))
    else:
        given = labels if isinstance(labels, Sequence) and not isinstance(labels, str) else [labels]
        if classes is None and any(isinstance(each, str) for each in given):
            raise ConfigError(f"labels={labels} needs a run with conditioning, and this run has none by labels.")
        chosen = [label_named(each, names) if isinstance(each, str) else each for each in given]
    if not chosen or not all(type(label) is int for label in chosen):
        raise ConfigError(
            f"labels={labels} is not allowed: it must be a number or name of a class, a list of them, all, or null."
        )
    return _in_rows(chosen, count)


def generators_in_rows(generator: Any, count: int, generators: int | None) -> list[int] | None:
    """The number of a generator for each of `count` samples, sorted.

    Args:
        generator: A user's value: `null`, a number, a list of them, or `all`.
        count: Number of samples.
        generators: Number of generators; None for a model that is not a mixture of several.

    Raises:
        ConfigError: The value is none of these, or there are no generators to choose from.
    """
    if generator is None:
        return None
    if generators is None:
        raise ConfigError(
            f"generator={generator} needs a run of several generators, such as model=mgan, and this run has one."
        )
    given = generator if isinstance(generator, Sequence) and not isinstance(generator, str) else [generator]
    chosen = list(range(generators)) if generator == "all" else list(given)
    if not chosen or not all(type(number) is int for number in chosen):
        raise ConfigError(f"generator={generator} is not allowed: it must be a number, a list of them, all, or null.")
    return _in_rows(chosen, count)


def _in_rows(chosen: Sequence[int], count: int) -> list[int]:
    """Each number equally often, up to one row, in order."""
    each = -(-count // len(chosen))
    return [number for number in chosen for _ in range(each)][:count]


def label_named(name: str, names: Sequence[str] | None) -> int:
    """Number of the class with this name.

    Raises:
        ConfigError: There is none, or the run has no names of classes.
    """
    if names is None:
        raise ConfigError(f"labels={name} is not allowed: the classes of this run have no names; give numbers.")
    if name not in names:
        raise ConfigError(unknown_choice("labels", name, names))
    return list(names).index(name)
