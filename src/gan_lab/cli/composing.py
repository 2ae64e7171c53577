"""Composes the config of a command once: Hydra does it to learn whether the command is a sweep, and again to run it."""

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig

AS_RUN = ["hydra.mode=RUN"]


def compose_once() -> None:
    """Let Hydra's applications use `OnceLoader`; repeated calls change nothing."""
    hydra._internal.hydra.ConfigLoaderImpl = OnceLoader  # type: ignore[misc]


class OnceLoader(ConfigLoaderImpl):
    """Hydra's loader of configs, which keeps that of a single run between the two."""

    _kept: tuple[str | None, list[str], DictConfig] | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """The composed config. Hydra asks for its mode without validation, and then adds the mode as an override."""
        kept, self._kept = self._kept, None
        if kept is not None and (config_name, overrides) == (kept[0], [*kept[1], *AS_RUN]):
            cfg = kept[2]
            cfg.hydra.mode = run_mode
            cfg.hydra.overrides.hydra.extend(AS_RUN)
            return cfg
        if not validate_sweep_overrides and (single := self._of_a_run(config_name, overrides, from_shell)) is not None:
            self._kept = config_name, list(overrides), single
            return single
        return super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    def _of_a_run(self, config_name: str | None, overrides: list[str], from_shell: bool) -> DictConfig | None:
        """The config of a single run; None if it has a mistake, such as several values of a key: Hydra reports it."""
        try:
            return super().load_configuration(config_name, overrides, RunMode.RUN, from_shell)
        except Exception:
            return None
