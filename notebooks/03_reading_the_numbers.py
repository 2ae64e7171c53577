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
# # Reading the metrics
#
# A distance between sets of images suggests more precision than it has. This notebook corrupts real images as bad
# generators do, and shows which metric detects which fault: noise, blur, missing modes, copies of training images, and
# wrong labels. It uses scikit-learn's handwritten digits and the features of a classifier trained on them. Replace its
# first line by `"dataset=mnist extractor=mnist"` or `"dataset=cifar10 extractor=efflite0"` for other data, with a
# larger `BUDGET`; docs/metrics.md has the results of these two.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/03_reading_the_numbers.py` makes a
# notebook of it.

# %%
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.charts.line_chart import Line, LineChart
from gan_lab.charts.png import line_charts
from gan_lab.config.build import instantiate, instantiate_each
from gan_lab.config.compose import compose
from gan_lab.metrics.measuring import measure
from gan_lab.figures import draw_samples

DATA = "dataset=digits extractor=digits"
BUDGET = 800  # images of either set

METRICS = "metrics=[fd,kd,pr,dc,prd,diversity,swd_small,ms_ssim]"
config = compose(*DATA.split(), METRICS)
data = instantiate(config.dataset, "dataset")
data.prepare_data()
data.setup("fit")
images, labels = (torch.cat(parts) for parts in zip(*data.reals(None, 512)))
half = min(BUDGET, len(images) // 2)


def random_split(seed: int) -> Tensor:
    """Indices of two disjoint random sets of real images, (2, half)."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return order[: 2 * half].view(2, half)


reference, held_out = random_split(0)
real, other, other_labels = images[reference], images[held_out], labels[held_out]
print(f"{half} real images, and {half} others in place of generated ones")

# %% [markdown]
# ## The metrics
#
# Four families. *Fréchet* and *kernel* distances compare the features of both sets; *precision, recall, density,
# coverage* and the two ends of the *PRD* curve measure how much the supports of both sets overlap; the *sliced
# Wasserstein distance* compares patches at several scales; *MS-SSIM* and *diversity* use the generated images alone.


# %%
def metrics_with_real(config, index: Tensor):
    """The metrics of a config, with the real images at these indices as the reference."""
    metrics = instantiate_each(config.evaluation.metrics, "evaluation.metrics")
    for metric in metrics.values():
        if getattr(metric, "takes_labels", False):
            metric.update(images[index], real=True, labels=labels[index])
        elif hasattr(metric, "real_state"):  # it compares with real images
            metric.update(images[index], real=True)
    return metrics


def values_by_key(metrics, generated: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    """Values by key, without the extractor and the number of images, which are the same for all."""
    extractor = metrics["fd"].extractor_name
    values = measure(metrics, [(generated, labels)])
    keys = {key.replace(f"_{extractor}", ""): value for found in values.values() for key, value in found.items()}
    return {key.rpartition("_")[0]: value for key, value in keys.items()}


metrics = metrics_with_real(config, reference)
base = values_by_key(metrics, other)
for key, value in base.items():
    print(f"{key:34} {value:.4f}")

# %% [markdown]
# These are the values of a perfect generator: real images that are not in the reference set. They are not 0 or 1: the
# Fréchet distance is biased upwards, and precision and recall stay below 1.

# %% [markdown]
# ## Four faults


# %%
def noisy(level: float) -> Tensor:
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(1))
    return (other + level * noise).clamp(-1, 1)


def blurred(level: int) -> Tensor:
    channels, size = other.shape[1], 2 * level + 1
    kernel = torch.full((channels, 1, size, size), 1 / size**2)
    return F.conv2d(F.pad(other, [level] * 4, mode="reflect"), kernel, groups=channels)


def without_modes(level: int) -> Tensor:
    """The same number of images, without the first `level` classes."""
    kept = other[other_labels >= level]
    return kept[torch.arange(half) % len(kept)]


def with_copies(level: float) -> Tensor:
    """A fraction `level` of the images are copies of reference images."""
    count = round(level * half)
    return torch.cat([real[:count], other[count:]])


FAULTS = {
    "noise (standard deviation)": (noisy, [0, 0.1, 0.2, 0.4, 0.8]),
    "blur (radius in pixels)": (blurred, [0, 1, 2, 3, 4]),
    "missing classes (of ten)": (without_modes, [0, 2, 4, 6, 8]),
    "copies (fraction)": (with_copies, [0, 0.25, 0.5, 0.75, 1.0]),
}
worst = [corrupt(levels[-2]) for corrupt, levels in FAULTS.values()]
draw_samples(torch.cat([rows[:12] for rows in worst]), columns=12)

# %% [markdown]
# ## Sensitivity of each metric

# %%
SHOWN = ["fd", "kd_distance", "pr_precision", "pr_recall", "dc_density", "dc_coverage", "prd_f8", "prd_f_eighth",
         "diversity_generated", "swd_mean", "ms_ssim"]  # fmt: skip
curves = {
    title: [base, *(values_by_key(metrics, corrupt(level)) for level in levels[1:])]
    for title, (corrupt, levels) in FAULTS.items()
}


def line(values: list[float]) -> Line:
    return Line(list(range(len(values))), values)


charts = [
    LineChart(key, {title: line([round(found[key], 6) for found in curve]) for title, curve in curves.items()})
    for key in SHOWN
]
line_charts(charts, columns=3, size=(380, 240))

# %% [markdown]
# A fault is detected if its effect exceeds the chance variation of a perfect generator's values. Five other splits of
# the real images give their mean and standard deviation. For each metric and fault: the change at the worst level in
# these standard deviations (positive is worse, negative is better), with a `*` if each level is worse than the one
# before. More than 3 counts as *detected*.

# %%
LOWER_IS_BETTER = {"fd", "kd_distance", "swd_mean", "ms_ssim"}  # for the others, higher is better
chance = []
for seed in range(1, 6):
    first, second = random_split(seed)
    chance.append(values_by_key(metrics_with_real(config, first), images[second]))
print(f"{'':30}{'perfect':>20}", *(f"{title.split(' (')[0]:>23}" for title in FAULTS))
for key in SHOWN:
    perfect = torch.tensor([found[key] for found in chance], dtype=torch.float64)
    mean, std = perfect.mean().item(), perfect.std().item()
    sign = 1 if key in LOWER_IS_BETTER else -1
    cells = []
    for curve in curves.values():
        levels = [sign * found[key] for found in curve]
        monotonic = all(after > before for before, after in zip(levels, levels[1:]))
        cells.append(f"{(levels[-1] - sign * mean) / std:+.0f}{'*' if monotonic else ' '}")
    print(f"{key:30}{f'{mean:.4g} ± {std:.2g}':>20}", *(f"{cell:>23}" for cell in cells))
print("values at the worst level")
for key in SHOWN:
    print(f"{key:30}{'':20}", *(f"{curve[-1][key]:23.4g}" for curve in curves.values()))

# %% [markdown]
# No value here gets worse with copies of the training images, and most get better: only nearest neighbors reveal
# copies (`gan-lab memorization`). Missing classes lower recall and coverage, while precision and density may even
# rise. MS-SSIM mistakes noise for diversity. With CIFAR-10 and `extractor=efflite0`, precision and density even rise
# with noise and blur: docs/metrics.md.
#
# ## Wrong labels
#
# The distance over all images cannot detect wrong labels; the distance within each class does.

# %%
of_classes = compose(*DATA.split(), "metrics=[fd,fd_class]")
metrics = metrics_with_real(of_classes, reference)
for fraction in (0, 0.05, 0.1, 0.2, 0.5):
    wrong = torch.rand(half, generator=torch.Generator().manual_seed(2)) < fraction
    found = values_by_key(metrics, other, torch.where(wrong, (other_labels + 1) % 10, other_labels))
    print(f"{fraction:4.0%} wrong   {'   '.join(f'{key} {value:.3f}' for key, value in found.items())}")

# %% [markdown]
# ## Number of images
#
# With fewer images from the same distribution in both sets, the Fréchet distance rises, so values from different
# numbers of images are not comparable. That is why the number of images is part of the log key.

# %%
counts = [count for count in (100, 200, 500, 1_000, 2_000, 5_000, 10_000) if count < half] + [half]
fewer = {count: values_by_key(metrics_with_real(config, reference[:count]), other[:count]) for count in counts}
print("images   ", *(f"{key[:13]:>14}" for key in SHOWN))
for count, found in fewer.items():
    print(f"{count:8} ", *(f"{found[key]:14.4g}" for key in SHOWN))
bias = {key: [found[key] for found in fewer.values()] for key in SHOWN}
charts = [LineChart(key, {"same distribution": Line(counts, values)}) for key, values in bias.items()]
line_charts(charts, columns=3, size=(380, 240))

# %% [markdown]
# ## Cost

# %%
start = time.perf_counter()
metrics = metrics_with_real(config, reference)
print(f"{'features of the real images':30}{time.perf_counter() - start:.2f} s")
start = time.perf_counter()
for metric in metrics.values():
    metric.update(other)
print(f"{'features of the others':30}{time.perf_counter() - start:.2f} s")
for name, metric in metrics.items():
    start = time.perf_counter()
    metric.compute()
    print(f"{name:30}{time.perf_counter() - start:.2f} s")
