"""Supervised training of a network of features."""

import torch
from torch import Tensor, nn

from gan_lab.analysis.supervised import LabeledImages, SupervisedTraining, supervised_accuracy


def bands(count: int, seed: int, first: int = 0) -> LabeledImages:
    """Noise with a bright upper or lower half, which is the label; `first` is the label of the upper one."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 100, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    lower = torch.arange(count) % 2
    for image, half in zip(images, lower.tolist(), strict=True):
        image[:, 2 * half : 2 * half + 2] += 100
    return LabeledImages(images, lower if first == 0 else 1 - lower)


def measured(validation: LabeledImages, test: LabeledImages, epochs: int = 20) -> float:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU()).requires_grad_(False)

    def features(images: Tensor) -> Tensor:
        return network(images)

    training = SupervisedTraining(epochs, batch_size=9)  # with a last batch of one, which has no batch norm
    return supervised_accuracy(network, features, bands(64, 1), validation, test, 2, training)


def test_it_learns_the_labels() -> None:
    assert measured(bands(40, 2), bands(40, 3)) == 1


def test_the_time_is_chosen_by_the_validation_images() -> None:
    """Validation images with the opposite labels are best at the first of ten checks, before much was learned."""
    opposite = bands(40, 2, first=1)
    first_check = measured(opposite, bands(40, 3), epochs=1)
    assert measured(opposite, bands(40, 3), epochs=10) == first_check < 1


def test_the_random_state_is_restored() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    before = torch.get_rng_state()
    supervised_accuracy(network, network, bands(8, 1), bands(8, 2), bands(8, 3), 2, SupervisedTraining(1))
    assert torch.equal(torch.get_rng_state(), before)
