"""Supervised training of a network of features on the labels of a linear probe, as a baseline."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.data.pixels import to_unit_range
from gan_lab.layers.spectral_norm import power_iterations
from gan_lab.noise import reseed

_CHECKS = 10  # measurements of the validation images during training
_CHUNK = 500  # images that are classified at once


@dataclass(frozen=True)
class LabeledImages:
    """Images with labels.

    Attributes:
        images: uint8 (n, C, H, W).
        labels: int64 (n,).
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SupervisedTraining:
    """Options: Adam, and the cross entropy of a linear layer on the features.

    Args:
        epochs: Passes over the labeled images.
        batch_size: Images in a step.
        learning_rate: Of Adam.
        seed: Of the linear layer and of the order of the images.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0


def supervised_accuracy(
    network: nn.Module, features: Callable[[Tensor], Tensor], train: LabeledImages, validation: LabeledImages,
    test: LabeledImages, classes: int, training: SupervisedTraining,
) -> float:  # fmt: skip
    """Test accuracy in [0, 1] of a network that is trained on labels, when its validation accuracy was highest.

    The validation images are measured ten times during training. The global random state is restored.

    Args:
        network: Whose parameters are trained, all of them.
        features: Images in [-1, 1] to its last hidden layer (n, d).
        train: Labeled images.
        validation: Others, to choose the time.
        test: Others, for the result.
        classes: Number of classes.
        training: Options.
    """
    device = next(network.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        reseed(training.seed, device)
        head = nn.LazyLinear(classes).to(device)
        with torch.no_grad():
            head(features(to_unit_range(train.images[:2]).to(device)))
        network.requires_grad_(True)
        optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=training.learning_rate)
        checks = {round((number + 1) * training.epochs / _CHECKS) for number in range(_CHECKS)}
        iterations = power_iterations(network)
        best = result = -1.0
        for epoch in range(training.epochs):
            network.train()
            for rows in torch.randperm(len(train.labels)).split(training.batch_size):
                if len(rows) == 1:  # a batch norm needs two
                    continue
                for iterate in iterations:
                    iterate()
                logits = head(features(to_unit_range(train.images[rows]).to(device)))
                optimizer.zero_grad()
                F.cross_entropy(logits, train.labels[rows].to(device)).backward()
                optimizer.step()
            if epoch + 1 in checks:
                network.eval()
                found = _accuracy(features, head, validation, device)
                if found > best:
                    best, result = found, _accuracy(features, head, test, device)
    return result


@torch.no_grad()
def _accuracy(
    features: Callable[[Tensor], Tensor], head: nn.Module, data: LabeledImages, device: torch.device
) -> float:
    parts = [head(features(to_unit_range(part).to(device))).argmax(1).cpu() for part in data.images.split(_CHUNK)]
    return (torch.cat(parts) == data.labels).double().mean().item()
