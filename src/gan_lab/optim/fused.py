"""Fused optimizer steps: one kernel for all parameters instead of a loop over them."""

from torch.optim import SGD, Adam, AdamW, Optimizer

DEVICES = ("cpu", "cuda")
"""Types of the devices for which torch has these kernels."""


def fuse(optimizer: Optimizer) -> Optimizer:
    """Choose the fused step of Adam, AdamW or SGD where torch has one, unless the settings choose a form.

    Results are the same up to rounding. The setting is changed after the constructor, which would declare that the step
    divides by a loss scale: with 16-mixed, gradients must be unscaled before, for their norms and for clipping.

    Returns:
        The optimizer, changed in place.
    """
    if type(optimizer) not in (Adam, AdamW, SGD):
        return optimizer
    for group in optimizer.param_groups:
        chosen = any(group.get(form) for form in ("foreach", "capturable", "differentiable")) or group["fused"] is False
        if not chosen and all(p.is_floating_point() and p.device.type in DEVICES for p in group["params"]):
            group["fused"] = True
    return optimizer
