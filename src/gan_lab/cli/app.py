"""What all commands share: Hydra, and the user's mistakes told in one sentence."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lab.config import schema
from gan_lab.errors import UserError

EXIT_USER_ERROR = 2


def run(command: str, task: Callable[[DictConfig], Any]) -> None:
    """Run `task` as the Hydra application `gan-lab <command>` on `sys.argv`.

    A mistake of the user ends the process with status 2 and one sentence on standard error; a mistake of ours with a
    traceback. With HYDRA_FULL_ERROR=1 everything has a traceback.
    """
    schema.register()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def job(cfg: DictConfig) -> Any:
        try:
            return task(cfg)
        except (UserError, OSError, OmegaConfBaseException) as error:
            if wants_traceback or not (sentence := describe(error, command)):
                raise
            raise SystemExit(_complain(command, sentence)) from None

    application = hydra.main(config_path=str(schema.CONF), config_name=command, version_base="1.3")(job)
    try:
        with _exceptions_pass_hydra():
            application()
    except Exception as error:
        if wants_traceback or not (sentence := describe(error, command)):
            raise
        raise SystemExit(_complain(command, sentence)) from None


def output_folder() -> str:
    """The run folder that Hydra chose."""
    return HydraConfig.get().runtime.output_dir


def is_multirun() -> bool:
    """Whether this job is a trial of a sweep."""
    return HydraConfig.get().mode == hydra.types.RunMode.MULTIRUN


def describe(error: BaseException, command: str) -> str | None:
    """The sentence for a mistake of the user, or None for anything else."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
        return f"{error.filename or 'the run folder'} cannot be written: {os.strerror(error.errno)}."
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice} is not known: choose from {', '.join(error.options)}."
    if isinstance(error, ConfigCompositionException):
        return _describe_override(error, command)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return " ".join(str(error).split())
    return None


def _describe_override(error: ConfigCompositionException, command: str) -> str:
    cause = error.__cause__
    key = getattr(cause, "full_key", None)
    if key and "not in" in str(cause):
        guess = difflib.get_close_matches(key, _known_keys(command), n=1)
        hint = f"did you mean {guess[0]}?" if guess else f"`gan-lab {command} --cfg job` prints all keys."
        return f"{key} is not a key of this config: {hint}"
    if key and cause is not None:
        return f"{key}: {str(cause).splitlines()[0]}."
    return " ".join(str(error).split())


def _known_keys(command: str) -> list[str]:
    try:
        with hydra.initialize_config_dir(str(schema.CONF), version_base="1.3"):
            return list(_leaves(hydra.compose(command)))
    except Exception:
        return []


def _leaves(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        name = f"{prefix}{key}"
        yield name
        child = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        if isinstance(child, DictConfig):
            yield from _leaves(child, f"{name}.")


def _complain(command: str, sentence: str) -> int:
    print(f"gan-lab {command}: {sentence}", file=sys.stderr)
    return EXIT_USER_ERROR


@contextmanager
def _exceptions_pass_hydra() -> Iterator[None]:
    """Hydra prints exceptions itself and exits; with this variable it lets them through to us."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
