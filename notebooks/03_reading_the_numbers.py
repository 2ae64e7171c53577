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
# and looks which metric notices what: noise, blur, lost modes, images learned by heart, and images under the wrong label.
# Here it takes the handwritten digits that ship with scikit-learn and the features of a classifier that learned them. In
# place of its first line, `"dataset=mnist extractor=mnist"` and `"dataset=cifar10 extractor=efflite0"` do, with a larger
# `BUDGET`; docs/metrics.md has what these two say.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/03_reading_the_numbers.py` makes a notebook of it.

# %%
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.charts import Line, line_charts
from gan_lab.config.build import instantiate, instantiate_each
from gan_lab.config.compose import compose
from gan_lab.metrics.measuring import measure
from gan_lab.pictures import picture

DATA = "dataset=digits extractor=digits"
BUDGET = 800  # images on either side

METRICS = "metrics=[fd,kd,pr,dc,prd,diversity,swd_small,ms_ssim]"
config = compose(*DATA.split(), METRICS)
data = instantiate(config.dataset, "dataset")
data.prepare_data()
data.setup("fit")
images, labels = (torch.cat(parts) for parts in zip(*data.reals(None, 512)))
half = min(BUDGET, len(images) // 2)


def divided(seed: int) -> Tensor:
    """Places of as many real images on one side as on the other, by chance."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return order[: 2 * half].view(2, half)


ours, theirs = divided(0)
real, other, other_labels = images[ours], images[theirs], labels[theirs]
print(f"{half} real images, and as many others that play the generated ones")

# %% [markdown]
# ## What is measured
#
# Four families. *Fréchet* and *kernel* distances compare the features of both sets; *precision, recall, density, coverage*
# and the two ends of the *PRD* curve ask whether either set is where the other is; the *sliced Wasserstein distance* compares
# patches at several scales; *MS-SSIM* and *diversity* look at the generated images alone.


# %%
def learned(config, places: Tensor):
    """The metrics of a config, which have seen the real images at these places."""
    judges = instantiate_each(config.evaluation.metrics, "evaluation.metrics")
    for judge in judges.values():
        if getattr(judge, "takes_labels", False):
            judge.update(images[places], real=True, labels=labels[places])
        elif hasattr(judge, "real_state"):  # it compares with real images
            judge.update(images[places], real=True)
    return judges


def numbers(judges, generated: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    """Values by key, without the words for the extractor and the number of images, which are the same for all."""
    extractor = judges["fd"].extractor_name
    values = measure(judges, [(generated, labels)])
    keys = {key.replace(f"_{extractor}", ""): value for found in values.values() for key, value in found.items()}
    return {key.rpartition("_")[0]: value for key, value in keys.items()}


judges = learned(config, ours)
base = numbers(judges, other)
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
    channels, side = other.shape[1], 2 * level + 1
    kernel = torch.full((channels, 1, side, side), 1 / side**2)
    return F.conv2d(F.pad(other, [level] * 4, mode="reflect"), kernel, groups=channels)


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
SHOWN = ["fd", "kd_distance", "pr_precision", "pr_recall", "dc_density", "dc_coverage", "prd_f8", "prd_f_eighth",
         "diversity_generated", "swd_mean", "ms_ssim"]  # fmt: skip
curves = {title: [base, *(numbers(judges, spoil(level)) for level in levels[1:])] for title, (spoil, levels) in BAD.items()}


def line(values: list[float]) -> Line:
    return Line(list(range(len(values))), values, values, values)


panels = {key: {title: line([round(found[key], 6) for found in curve]) for title, curve in curves.items()} for key in SHOWN}
line_charts(panels, columns=3, size=(380, 240))

# %% [markdown]
# How far a perfect generator's numbers vary by chance says what counts as noticing. Five other divisions of the real
# images give their mean and spread. For each metric and fault: by how many of these standard deviations the worst level is
# to the worse (negative: to the better), with a `*` where each level is worse than the one before. More than 3 is
# *noticed*.

# %%
LOWER = {"fd", "kd_distance", "swd_mean", "ms_ssim"}  # is better; of the others higher is
chance = []
for seed in range(1, 6):
    some, others = divided(seed)
    chance.append(numbers(learned(config, some), images[others]))
print(f"{'':30}{'perfect':>20}", *(f"{title.split(' (')[0]:>23}" for title in BAD))
for key in SHOWN:
    honest = torch.tensor([found[key] for found in chance], dtype=torch.float64)
    sign = 1 if key in LOWER else -1
    cells = []
    for curve in curves.values():
        levels = [sign * found[key] for found in curve]
        steady = all(after > before for before, after in zip(levels, levels[1:]))
        cells.append(f"{(levels[-1] - sign * honest.mean().item()) / honest.std().item():+.0f}{'*' if steady else ' '}")
    print(f"{key:30}{f'{honest.mean():.4g} ± {honest.std():.2g}':>20}", *(f"{cell:>23}" for cell in cells))
print("values at the worst level")
for key in SHOWN:
    print(f"{key:30}{'':20}", *(f"{curve[-1][key]:23.4g}" for curve in curves.values()))

# %% [markdown]
# No number here suffers from copies of the training images, and most are pleased: only a look at the nearest neighbours
# tells (`gan-lab neighbours`). Lost classes cost recall and coverage, while precision and density may even gain by them. MS-SSIM takes noise
# for diversity. With CIFAR-10 and `extractor=efflite0` precision and density even rise with noise and blur: docs/metrics.md.
#
# ## Images under the wrong label
#
# The distance over all images cannot see it; the one within each class does.

# %%
of_classes = compose(*DATA.split(), "metrics=[fd,fd_class]")
judges = learned(of_classes, ours)
for share in (0, 0.05, 0.1, 0.2, 0.5):
    wrong = torch.rand(half, generator=torch.Generator().manual_seed(2)) < share
    found = numbers(judges, other, torch.where(wrong, (other_labels + 1) % 10, other_labels))
    print(f"{share:4.0%} wrong   {'   '.join(f'{key} {value:.3f}' for key, value in found.items())}")

# %% [markdown]
# ## How many images
#
# The same law, with fewer and fewer images on both sides: the Fréchet distance rises, so that numbers of different
# sample sizes cannot be compared. That is why the count is in the name of the number.

# %%
counts = [count for count in (100, 200, 500, 1_000, 2_000, 5_000, 10_000) if count < half] + [half]
fewer = {count: numbers(learned(config, ours[:count]), other[:count]) for count in counts}
print("images   ", *(f"{key[:13]:>14}" for key in SHOWN))
for count, found in fewer.items():
    print(f"{count:8} ", *(f"{found[key]:14.4g}" for key in SHOWN))
bias = {key: [found[key] for found in fewer.values()] for key in SHOWN}
line_charts({key: {"the same law": Line(counts, values, values, values)} for key, values in bias.items()}, columns=3, size=(380, 240))

# %% [markdown]
# ## What it costs

# %%
start = time.perf_counter()
judges = learned(config, ours)
print(f"{'features of the real images':30}{time.perf_counter() - start:.2f} s")
start = time.perf_counter()
for judge in judges.values():
    judge.update(other)
print(f"{'features of the others':30}{time.perf_counter() - start:.2f} s")
for name, judge in judges.items():
    start = time.perf_counter()
    judge.compute()
    print(f"{name:30}{time.perf_counter() - start:.2f} s")
