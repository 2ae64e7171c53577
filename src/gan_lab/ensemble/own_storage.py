"""Checkpoints of a member of an ensemble, without the weights of the others."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.callbacks.base import Callback


class OwnStorage(Callback):
    """Copy what the checkpoint of a run contains of the ensemble's stacked tensors; PyTorch would save all of them."""

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = _copied(checkpoint["state_dict"])
        checkpoint["optimizer_states"] = [
            {**state, "state": {key: _copied(values) for key, values in state["state"].items()}}
            for state in checkpoint["optimizer_states"]
        ]

    @torch.no_grad()
    def on_fit_end(self, trainer: Any, module: Any) -> None:
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in values.items()}
