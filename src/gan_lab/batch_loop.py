"""Lightning's loop over batches without what this package does not use, which takes long beside a small network."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loops.fetchers import _DataLoaderIterDataFetcher
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.trainer.call import _call_callback_hooks, _call_lightning_module_hook
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.model_helpers import is_overridden

from gan_lab.hooks import call_hooks, use_direct_precision


def use_batch_loop(trainer: Trainer) -> None:
    """Replace the trainer's loop over batches by `BatchLoop`, and its precision by one that calls hooks directly."""
    use_direct_precision(trainer)
    loop = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = BatchLoop(trainer, loop.min_steps, loop.max_steps)
    trainer._logger_connector = _LogConnector(trainer)


class _LogConnector(_LoggerConnector):
    """Decides by the number of the batch which values of `self.log` and of Lightning's callbacks are logged."""

    @property
    def should_update_logs(self) -> bool:
        """Whether this batch is one of every `trainer.log_every_n_steps`, or the last one."""
        trainer: Any = self.trainer
        number, every = trainer.fit_loop.epoch_loop.batch_progress.total.ready, trainer.log_every_n_steps
        return every > 0 and (number % every == 0 or trainer.should_stop)


class BatchLoop(_TrainingEpochLoop):
    """Loop that fetches a batch, trains on it and calls the hooks: in the order and with the counters of Lightning's.

    At every batch Lightning's own loop also inspects the signature of the training step, and searches for validation,
    schedulers of Lightning and values of `self.log`. Where one of them or several processes are used, it runs instead.
    """

    @property
    def _batches_that_stepped(self) -> int:
        """The step of what Lightning logs: images seen, as of all other rows of the log."""
        return getattr(self.trainer.lightning_module, "images_seen", 0)

    @_batches_that_stepped.setter
    def _batches_that_stepped(self, count: int) -> None:
        """Lightning counts batches here."""

    def on_run_start(self, data_fetcher: Any) -> None:
        """Called by Lightning before the batches of an epoch."""
        super().on_run_start(data_fetcher)
        trainer: Any = self.trainer
        module = trainer.lightning_module
        self._is_plain = not (
            trainer.world_size > 1
            or trainer.enable_validation
            or trainer.lr_scheduler_configs
            or module.automatic_optimization
            or isinstance(data_fetcher, _DataLoaderIterDataFetcher)
        )
        self._hooks_at_start = any(is_overridden("on_train_batch_start", each, Callback) for each in trainer.callbacks)
        self._hooks_at_start |= is_overridden("on_train_batch_start", module)

    def advance(self, data_fetcher: Any) -> None:
        """Train on one batch."""
        if self.restarting or not self._is_plain:
            super().advance(data_fetcher)
            return
        trainer: Any = self.trainer
        module, progress = trainer.lightning_module, self.batch_progress
        batch, _, _ = next(data_fetcher)
        number = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        with trainer.profiler.profile("batch_to_device"):
            batch = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(batch), dataloader_idx=0)
        progress.increment_ready()
        trainer._logger_connector.on_batch_start(batch)
        if self._hooks_at_start:
            _call_callback_hooks(trainer, "on_train_batch_start", batch, number)
            if _call_lightning_module_hook(trainer, "on_train_batch_start", batch, number) == -1:
                progress.increment_by(0, is_last_batch=True)
                progress.increment_processed()
                raise StopIteration
        progress.increment_started()
        self.manual_optimization.on_run_start()
        module._current_fx_name = "training_step"
        trainer.strategy.training_step(batch, number)
        module._current_fx_name = None
        self.manual_optimization.on_run_end()
        progress.increment_processed()
        call_hooks(trainer, "on_train_batch_end", None, batch, number)
        progress.increment_completed()
        if self._results:  # of `self.log`
            trainer._logger_connector.on_batch_end()
            trainer._logger_connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: Any) -> None:
        """Called by Lightning after each batch."""
        if self.restarting or not self._is_plain:
            super().on_advance_end(data_fetcher)
            return
        self._save_loggers_on_train_batch_end()
        if self.trainer.received_sigterm and not self._is_training_done:
            raise SIGTERMException
