# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reading the numbers
#
# A distance between sets of images is a number that looks exact. This notebook does to real images what bad generators do,
# and looks which metric notices what: noise, blur, lost modes, and images learned by heart. It uses the handwritten digits
# that ship with scikit-learn and the features of a classifier that learned them; with natural images take
# `extractor=efflite0` in its place.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/03_reading_the_numbers.py` makes a notebook of it.

# %%
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.charts import Line, line_charts
from gan_lab.config.compose import compose
from gan_lab.config.build import instantiate
from gan_lab.config.judges import digit_classifier
from gan_lab.data.digits import read_digits
from gan_lab.metrics.diversity import FeatureDiversity
from gan_lab.metrics.extractors import DigitFeatures, shared
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.measuring import measure
from gan_lab.metrics.ms_ssim import MSSSIM
from gan_lab.metrics.neighbours import DensityCoverage, PrecisionRecall
from gan_lab.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lab.pictures import picture

BUDGET = 800  # images on either side

data = instantiate(compose("dataset=digits").dataset, "dataset")
images, labels = (torch.cat(parts) for parts in zip(*data.reals(None, 512)))
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
half = min(BUDGET, len(images) // 2)
real, other, other_labels = images[order[:half]], images[order[half : 2 * half]], labels[order[half : 2 * half]]
print(f"{half} real images, and as many others that play the generated ones")

# %% [markdown]
# ## What is measured
#
# Four families. *Fréchet* and *kernel* distances compare the features of both sets; *precision, recall, density* and
# *coverage* ask for each image whether there is one of the other set near it; the *sliced Wasserstein distance* compares patches;
# *MS-SSIM* and *diversity* look at the generated images alone.

# %%
classifier = digit_classifier("scikit-learn", read_digits, fit="stretch", epochs=8)
extractor = shared(DigitFeatures(classifier))


def metrics():
    return {
        "fd": FrechetDistance(extractor),
        "kd": KernelDistance(extractor),
        "pr": PrecisionRecall(extractor),
        "dc": DensityCoverage(extractor),
        "diversity": FeatureDiversity(extractor),
        "swd": SlicedWasserstein(images=half, patches=16, directions=64),
        "ms_ssim": MSSSIM(),
    }


def numbers(generated: Tensor, reference: Tensor = real) -> dict[str, float]:
    judges = metrics()
    for name, judge in judges.items():
        if name != "ms_ssim":
            judge.update(reference, real=True)
    found = measure(judges, [(generated, None)])
    return {key.rpartition("_")[0]: value for values in found.values() for key, value in values.items()}


base = numbers(other)
for key, value in base.items():
    print(f"{key:34} {value:.4f}")

# %% [markdown]
# These are the numbers of a perfect generator: real images that the reference has not seen. They are not 0 or 1: the
# Fréchet distance is biased upwards, and precision and recall stay below 1.

# %% [markdown]
# ## Four ways to be bad


# %%
def noisy(level: float) -> Tensor:
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(1))
    return (other + level * noise).clamp(-1, 1)


def blurred(level: int) -> Tensor:
    kernel = torch.ones(1, 1, 2 * level + 1, 2 * level + 1) / (2 * level + 1) ** 2
    return F.conv2d(F.pad(other, [level] * 4, mode="reflect"), kernel)


def without_modes(level: int) -> Tensor:
    """As many images, of the classes from `level` on."""
    kept = other[other_labels >= level]
    return kept[torch.arange(half) % len(kept)]


def by_heart(level: float) -> Tensor:
    """A share of the images are copies of the reference."""
    count = round(level * half)
    return torch.cat([real[:count], other[count:]])


BAD = {
    "noise (standard deviation)": (noisy, [0, 0.1, 0.2, 0.4, 0.8]),
    "blur (pixels to each side)": (blurred, [0, 1, 2, 3, 4]),
    "lost classes of ten": (without_modes, [0, 2, 4, 6, 8]),
    "share learned by heart": (by_heart, [0, 0.25, 0.5, 0.75, 1.0]),
}
worst = [spoil(levels[-2]) for spoil, levels in BAD.values()]
picture(torch.cat([rows[:12] for rows in worst]), columns=12)

# %% [markdown]
# ## Who notices what

# %%
SHOWN = ["fd_digits", "kd_digits_distance", "pr_digits_precision", "pr_digits_recall", "dc_digits_density", "dc_digits_coverage",
         "diversity_digits_generated", "swd_mean", "ms_ssim"]  # fmt: skip
curves = {title: [numbers(spoil(level)) for level in levels] for title, (spoil, levels) in BAD.items()}
panels = {
    key: {
        title: Line(list(range(5)), [found[key] for found in curve], [found[key] for found in curve], [found[key] for found in curve])
        for title, curve in curves.items()
    }
    for key in SHOWN
}
line_charts(panels, columns=3, size=(380, 240))

# %% [markdown]
# How far a perfect generator's numbers vary by chance says what counts as noticing. Five other divisions of the real
# images give their mean and spread; a metric *notices* a fault if at the worst level it is more than three of these
# standard deviations to the worse, and is *pleased* if it is as far to the better.

# %%
BETTER = {"fd_digits": -1, "kd_digits_distance": -1, "swd_mean": -1, "ms_ssim": -1}  # the others: higher is better
chance = []
for seed in range(1, 6):
    shuffled = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))]
    chance.append(numbers(shuffled[half : 2 * half], shuffled[:half]))
print(f"{'':28}", *(f"{title.split(' (')[0][:22]:>24}" for title in BAD))
for key in SHOWN:
    honest = torch.tensor([found[key] for found in chance])
    moves = [BETTER.get(key, 1) * (honest.mean() - curve[-1][key]) / honest.std() for curve in curves.values()]
    words = ["notices" if move > 3 else "is pleased" if move < -3 else "does not see it" for move in moves]
    print(f"{key:28}", *(f"{word:>24}" for word in words))

# %% [markdown]
# No number here suffers from copies of the training images, and most are pleased: only a look at the nearest neighbours
# tells (`gan-lab neighbours`). Lost classes cost recall and coverage, while precision hardly falls and density does not see
# them. MS-SSIM does not see noise.
#
# ## How many images
#
# The same law, with fewer and fewer images on both sides: the Fréchet distance rises, so that numbers of different
# sample sizes cannot be compared. That is why the count is in the name of the number.

# %%
counts = [n for n in (50, 100, 200, 400, 800) if n <= half]
for count in counts:
    found = numbers(other[:count], real[:count])
    print(f"{count:5} images   fd {found['fd_digits']:8.3f}   kd {found['kd_digits_distance']:8.4f}   "
          f"precision {found['pr_digits_precision']:.3f}   coverage {found['dc_digits_coverage']:.3f}   swd {found['swd_mean']:.1f}")  # fmt: skip

# %% [markdown]
# ## What it costs

# %%
start = time.perf_counter()
extractor(real)
print(f"features of {half} images   {time.perf_counter() - start:.2f} s")
for name, judge in metrics().items():
    if name != "ms_ssim":
        judge.update(real, real=True)
    judge.update(other)
    start = time.perf_counter()
    judge.compute()
    print(f"{name:24}{time.perf_counter() - start:.2f} s")
