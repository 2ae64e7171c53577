"""Hydra application of a command, with user errors reported in one sentence."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, cast

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lab.cli.composing import compose_once
from gan_lab.config import resolvers, schema
from gan_lab.config.command_help import command_help
from gan_lab.config.compose import initialized
from gan_lab.config.groups import check_choices, config_folders, use_config_folders, with_dataset_keys
from gan_lab.config.known_keys import check_keys
from gan_lab.config.messages import describe
from gan_lab.config.overrides import override
from gan_lab.config.targets import allowing
from gan_lab.config.values_of_runs import with_values_of_runs
from gan_lab.errors import TrainingError, UserError
from gan_lab.interrupts import Interrupted, received
from gan_lab.ranks import rank
from gan_lab.terminal import discard_unwritten_output, show

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2

_FLAGS_WITH_VALUES = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p")


def run(command: str, task: Callable[[DictConfig], Any]) -> None:
    """Run `task` as the Hydra application `gan-lab <command>` on `sys.argv`.

    A user error ends the process with status 2 and one sentence on standard error, any other error with a traceback.
    With HYDRA_FULL_ERROR=1 every error has a traceback.
    """
    resolvers.register()
    # Flags may be anywhere, but Hydra expects them first.
    sys.argv[1:] = sorted(with_dataset_keys(command, _with_values(sys.argv[1:])), key=_is_override)
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    silent = full_error == "1"
    started = False

    def job(cfg: DictConfig) -> Any:
        nonlocal started
        started = True
        with (
            _full_error(full_error),
            user_errors_reported(command, silent),
            allowing(OmegaConf.select(cfg, "allow_targets") or ()),
        ):
            check_keys(cfg)
            return task(cfg)

    compose_once()
    application = hydra.main(config_path=str(schema.CONF), config_name=command, version_base="1.3")(job)
    # Hydra prints exceptions itself and exits; with HYDRA_FULL_ERROR=1 it raises them.
    with user_errors_reported(command, silent), _full_error("1"):
        _refuse_unknown_flags(sys.argv[1:])
        use_config_folders(sys.argv[1:])
        check_choices(command, _overrides())
        if command == "train":
            sys.argv[1:] = with_values_of_runs(sys.argv[1:])
        if {"-h", "--help"} & set(sys.argv[1:]):
            show(_help(command, sys.argv[1:]))
            return
        try:
            application()
        except ValueError as error:  # raised by Hydra for flags that exclude each other
            if started or isinstance(error, OmegaConfBaseException):
                raise
            raise UserError(describe(error, command, _overrides()) or str(error)) from error


def _help(command: str, arguments: list[str]) -> str:
    """The help of a command, with the values that it would use with these arguments.

    Hydra's own help collects the choices of all groups for a text without them, which takes seconds.
    """
    folders = [f"file://{folder.absolute()}" for folder in config_folders(arguments)]
    overrides = [*filter(_is_override, arguments), *([override("hydra.searchpath", folders)] if folders else [])]
    with initialized():
        cfg = hydra.compose(command, overrides=overrides, return_hydra_config=True)
    return command_help(command, cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False)))


def run_alone(command: str, task: Callable[[DictConfig], Any], cfg: DictConfig) -> None:
    """Run `task` on a composed config without Hydra, and report user errors as `run` does."""
    with user_errors_reported(command, silent=False):
        task(cfg)


def output_folder() -> str:
    """The run folder that Hydra chose."""
    return HydraConfig.get().runtime.output_dir


def is_multirun() -> bool:
    """Whether this job is a trial of a sweep."""
    return HydraConfig.get().mode == hydra.types.RunMode.MULTIRUN


def launcher() -> str:
    """Name of the launcher of a sweep's runs: `basic`, `joblib`, `submitit_slurm`, ..."""
    return HydraConfig.get().runtime.choices.get("hydra/launcher") or "basic"


def _refuse_unknown_flags(arguments: list[str]) -> None:
    known = {option for action in get_args_parser()._actions for option in action.option_strings}
    known -= {"--run", "-r"}  # of Hydra, for what it does without them; here `run` is a key
    for argument in arguments:
        flag = argument.partition("=")[0]
        if argument.startswith("-") and flag not in known:
            example = f"{flag[2:]}=VALUE" if re.fullmatch(r"--[a-z_.]+", flag) else "lr=1e-4"
            raise UserError(
                f"{argument} is not a flag: write overrides without dashes, as in {example}; "
                "--hydra-help shows the flags."
            )


def _overrides() -> list[str]:
    """The overrides of the command line, without flags."""
    return list(filter(_is_override, sys.argv[1:]))


def _with_values(arguments: Sequence[str]) -> list[str]:
    """Arguments with each flag and its value as one: a value with an equal sign would look like an override."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _FLAGS_WITH_VALUES and not argument.startswith("-"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _is_override(override: str) -> bool:
    return not override.startswith("-") and ("=" in override or override.startswith("~"))


@contextmanager
def user_errors_reported(command: str, silent: bool = False) -> Iterator[None]:
    """Report a user error in one sentence and exit, unless `silent`."""
    try:
        yield
    except BrokenPipeError:  # the reader of our output has exited, as `head` does
        discard_unwritten_output()
        raise SystemExit(EXIT_FAILURE) from None
    except KeyboardInterrupt as error:
        _end_interrupted(command, error if isinstance(error, Interrupted) else Interrupted())
    except Exception as error:
        if interrupt := received():
            _end_interrupted(command, interrupt)
        if silent or not (sentence := describe(error, command, _overrides())):
            raise
        who = f" (process {rank()})" if rank() else ""
        show(f"gan-lab {command}{who}: {sentence}", sys.stderr)
        raise SystemExit(EXIT_FAILURE if isinstance(error, TrainingError) else EXIT_USER_ERROR) from None


def _end_interrupted(command: str, interrupt: Interrupted) -> NoReturn:
    show(f"gan-lab {command}: stopped by {interrupt}.", sys.stderr)
    raise SystemExit(interrupt.status) from None


@contextmanager
def _full_error(value: str | None) -> Iterator[None]:
    """Set HYDRA_FULL_ERROR for Hydra and for child processes within the block."""
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
