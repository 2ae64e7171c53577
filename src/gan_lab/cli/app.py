"""What all commands share: Hydra, and the user's mistakes told in one sentence."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import singledispatch
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from gan_lab.config import schema
from gan_lab.config.targets import allowing
from gan_lab.errors import TrainingError, UserError

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


def run(command: str, task: Callable[[DictConfig], Any]) -> None:
    """Run `task` as the Hydra application `gan-lab <command>` on `sys.argv`.

    A mistake of the user ends the process with status 2 and one sentence on standard error; a mistake of ours with a
    traceback. With HYDRA_FULL_ERROR=1 everything has a traceback.
    """
    schema.register()
    sys.argv[1:] = sorted(sys.argv[1:], key=_is_override)  # flags may stand anywhere: Hydra wants them first
    asked = os.environ.get("HYDRA_FULL_ERROR")
    silent = asked == "1"
    started = False

    def job(cfg: DictConfig) -> Any:
        nonlocal started
        started = True
        with (
            _full_error(asked),
            _mistakes_told(command, silent),
            allowing(OmegaConf.select(cfg, "allow_targets") or ()),
        ):
            return task(cfg)

    application = hydra.main(config_path=str(schema.CONF), config_name=command, version_base="1.3")(job)
    # Hydra prints exceptions itself and exits; with a 1 it lets them through to us.
    with _mistakes_told(command, silent), _full_error("1"):
        _refuse_unknown_flags(sys.argv[1:])
        try:
            application()
        except ValueError as error:  # Hydra's word for flags that exclude each other
            if started:
                raise
            raise UserError(str(error)) from error


def run_alone(command: str, task: Callable[[DictConfig], Any], cfg: DictConfig) -> None:
    """Run `task` on a composed config without Hydra, and tell mistakes of the user as `run` does."""
    with _mistakes_told(command, silent=False):
        task(cfg)


def output_folder() -> str:
    """The run folder that Hydra chose."""
    return HydraConfig.get().runtime.output_dir


def is_multirun() -> bool:
    """Whether this job is a trial of a sweep."""
    return HydraConfig.get().mode == hydra.types.RunMode.MULTIRUN


def launcher() -> str:
    """The name of what starts the runs of a sweep: `basic`, `joblib`, `submitit_slurm`, ..."""
    return HydraConfig.get().runtime.choices.get("hydra/launcher") or "basic"


def reason(error: BaseException, command: str) -> str:
    """Why something failed, in one line: the sentence for a mistake of the user, or what Python calls it."""
    return describe(error, command) or f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


@singledispatch
def describe(error: BaseException, command: str) -> str | None:
    """The sentence for a mistake of the user, or None for anything else."""
    return None


@describe.register(UserError)
@describe.register(TrainingError)
def _(error: Exception, command: str) -> str:
    return str(error)


@describe.register
def _(error: OSError, command: str) -> str | None:
    """The disk's word, not one on a file that the program itself forgot to make."""
    if error.errno in _DISK:
        return f"{error.filename or 'The run folder'} cannot be written: {os.strerror(error.errno)}."
    return None


@describe.register
def _(error: RuntimeError, command: str) -> str | None:
    """PyTorch's writer covers the disk's word with its own."""
    return describe(error.__context__, command) if isinstance(error.__context__, OSError | RuntimeError) else None


@describe.register
def _(error: OverrideParseException, command: str) -> str:
    reason = error.message.partition("\nSee ")[0].splitlines()[-1]
    hint = "" if reason.strip("^ ") == "" else f" ({reason})"
    return f"{error.override} cannot be read{hint}: write key=value, and quotes around a value with special characters."


@describe.register
def _(error: MissingConfigException, command: str) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    options = error.options or sorted(file.stem for file in (schema.CONF / group).glob("*.yaml"))
    return f"{group}={choice} is not known: choose from {', '.join(options)}."


@describe.register
def _(error: MissingMandatoryValue, command: str) -> str:
    return f"{error.full_key} has no value yet: give one, as in `gan-lab {command} {error.full_key}=...`."


@describe.register(HydraException)
@describe.register(OmegaConfBaseException)
def _(error: Exception, command: str) -> str:
    cause = error.__cause__ or error
    key, reason = getattr(cause, "full_key", None), str(cause).splitlines()[0].rstrip(".")
    if key and "not in" in reason:
        guess = difflib.get_close_matches(key, _known_keys(command, key), n=1)
        hint = f"did you mean {guess[0]}?" if guess else f"`gan-lab {command} --cfg job` prints all keys."
        return f"{key} is not a key of this config: {hint}"
    if reason.startswith("Ambiguous value"):
        word = reason.split("'")[1]
        return f"{word} are several values: add -m to run once for each, or write [...] around them for a list."
    return f"{key}: {reason}." if key else f"{' '.join(str(error).split()).rstrip('.')}."


@describe.register
def _(error: InterpolationResolutionError, command: str) -> str | None:
    """OmegaConf covers with its own words what a resolver of ours refuses."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__ or cause.__context__
    return str(cause) if cause else describe.dispatch(OmegaConfBaseException)(error, command)


@describe.register
def _(error: YAMLError, command: str) -> str:
    return f"A config file is no YAML: {' '.join(str(error).split())}."


def _known_keys(command: str, wrong: str) -> list[str]:
    """Keys and groups of what the user composed, without the override that is wrong."""
    groups = [folder.name for folder in schema.CONF.iterdir() if folder.is_dir()]
    overrides = [word for word in sys.argv[1:] if _is_override(word) and wrong not in word]
    try:
        with hydra.initialize_config_dir(str(schema.CONF), version_base="1.3"):
            return [*groups, *_leaves(hydra.compose(command, overrides=overrides))]
    except Exception:
        return groups


def _leaves(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        name = f"{prefix}{key}"
        yield name
        child = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        if isinstance(child, DictConfig):
            yield from _leaves(child, f"{name}.")


def _refuse_unknown_flags(words: list[str]) -> None:
    known = {option for action in get_args_parser()._actions for option in action.option_strings}
    for word in words:
        if word.startswith("-") and word.partition("=")[0] not in known:
            raise UserError(
                f"{word} is no flag: write settings without dashes, as in lr=1e-4; --hydra-help shows the flags."
            )


def _is_override(word: str) -> bool:
    return not word.startswith("-") and ("=" in word or word.startswith("~"))


@contextmanager
def _mistakes_told(command: str, silent: bool) -> Iterator[None]:
    """Turn a mistake of the user into one sentence and the end of the process, unless `silent`."""
    try:
        yield
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        if silent or not (sentence := describe(error, command)):
            raise
        rank = next((os.environ[name] for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if name in os.environ), "0")
        who = f" (process {rank})" if rank != "0" else ""
        print(f"gan-lab {command}{who}: {sentence}", file=sys.stderr)
        raise SystemExit(EXIT_FAILURE if isinstance(error, TrainingError) else EXIT_USER_ERROR) from None


@contextmanager
def _full_error(value: str | None) -> Iterator[None]:
    """What Hydra, and every program that this one starts, finds in HYDRA_FULL_ERROR."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    try:
        _set_full_error(value)
        yield
    finally:
        _set_full_error(before)


def _set_full_error(value: str | None) -> None:
    os.environ.pop("HYDRA_FULL_ERROR", None)
    if value is not None:
        os.environ["HYDRA_FULL_ERROR"] = value
