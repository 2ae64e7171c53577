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
# # Mode collapse
#
# A generator that always generates the same good sample fools a discriminator for a while. Real data have many *modes*,
# and a GAN may cover only some of them. With 2-D points this is visible: the true density is known and can be plotted.
# This notebook trains a plain GAN and two remedies on eight Gaussians on a circle, counts the modes that each of them
# covers, and then counts modes of images, which cannot be counted by eye.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/02_mode_collapse.py` makes a notebook of
# it.

# %%
import json
import tempfile
from pathlib import Path

import torch
from IPython.display import Image, Markdown

import gan_lab
from gan_lab.reports.comparison import compare
from gan_lab.reports.compare import compare_runs
from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from gan_lab.data.mixtures import ring
from gan_lab.metrics.points import HistogramDivergence, ModeCoverage
from gan_lab.noise import Noise

BUDGET = 3_000_000  # points that a run sees
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Reference values of the metrics
#
# Three samplers of known quality: the true distribution, one that covers four of the eight modes, and one that covers
# one. *Symmetric KL* compares a histogram of 10,000 points with the exact probabilities of its 50 x 50 cells. Even the
# true distribution does not get 0, because the sample is finite: its mean value is the *ideal value*.

# %%
truth = ring()
points, labels = truth.sample(Noise(0, 10_000))
for kept in (8, 4, 1):
    coverage, divergence = ModeCoverage(truth), HistogramDivergence(truth)
    some = points[labels < kept]
    coverage.update(some)
    divergence.update(some)
    counted, kl = int(coverage.compute()["modes"]), divergence.compute()["symmetric"]
    print(f"{kept} modes covered: {counted} counted, symmetric KL {kl:.2f}")

# %% [markdown]
# ## Train the plain GAN and two remedies
#
# D2GAN (Nguyen et al., 2017) has a second discriminator that rewards the generator for covering the data. PacGAN (Lin
# et al., 2018) gives the discriminator two samples at once, so that it can detect a lack of diversity. All three have
# the same networks, learning rates and latents: `conf/experiment/ring/` has the configs, and `gan-lab train
# sweep=ring_methods` runs 13 methods with five seeds.

# %%
METHODS = ("gan", "pacgan", "d2gan")
for method in METHODS:
    fit(
        compose(
            f"experiment=ring/{method}", "metrics=points", f"budget.images={BUDGET}", "hardware=cpu",
            f"run.dir={folder}/ring/{method}", "callbacks.progress=null",
        )
    )  # fmt: skip

# %% [markdown]
# The samples of each run over time, with real samples at the right. First the plain GAN:

# %%
Image(folder / "ring" / "gan" / "samples" / "strip.png")

# %% [markdown]
# PacGAN:

# %%
Image(folder / "ring" / "pacgan" / "samples" / "strip.png")

# %% [markdown]
# D2GAN:

# %%
Image(folder / "ring" / "d2gan" / "samples" / "strip.png")

# %% [markdown]
# The points of the plain GAN over its discriminator's logits, during training. Where the generator concentrates its
# points the discriminator learns low scores, the generator shifts elsewhere, and the logits follow.

# %%
Image(folder / "ring" / "gan" / "samples" / "field.gif")

# %% [markdown]
# ## Compare
#
# `gan-lab compare` calls `compare_runs`: it reads run folders, and writes a table, curves and a sheet of samples.

# %%
print(compare_runs(folder / "ring", ["eval/*"], columns=6))
Markdown((folder / "ring" / "comparison.md").read_text().partition("## What")[0])

# %%
Image(folder / "ring" / "curves.png")

# %%
Image(folder / "ring" / "sheet.png")

# %% [markdown]
# Every value in `results.json` has its protocol, so that only comparable values are compared:

# %%
record = json.loads((folder / "ring" / "d2gan" / "results.json").read_text())["eval/kl_symmetric_10k"]
for key, value in record.items():
    print(f"{key:12} {value}")

# %% [markdown]
# ## Modes of images
#
# Three random digits as the channels of one image make 1,000 modes (Metz et al., 2017). A classifier reads the digits.
# It is trained once on real digits and cached. Its error on held-out digits is reported with every value, since a
# misclassified digit may count as a mode that is not there. Here the digits are scikit-learn's, and the networks those
# of `experiment=stacked_mnist`, whose discriminator is small on purpose; that experiment compares eight GAN variants
# on MNIST.

# %%
cfg = compose(
    "experiment=stacked_mnist", "model=dcgan", "dataset=stacked_digits", "metrics=stacked_digits",
    f"budget.images={BUDGET // 20}", "hardware=cpu", "evaluation.samples=5000", f"run.dir={folder}/stacked",
    "callbacks.progress=null",
)  # fmt: skip
fit(cfg)
for key, record in json.loads((folder / "stacked" / "results.json").read_text()).items():
    value, ideal, error = (record[name] for name in ("value", "ideal_value", "classifier_error"))
    print(f"{key:34} {value:.3f}   ideal: {ideal:.3f}   classifier error: {error:.4f}")

# %%
Image(folder / "stacked" / "samples" / "final.png")

# %% [markdown]
# A few dozen modes of 1,000. docs/runs.md has four GAN variants on MNIST after longer runs, where PacGAN covers 918.

# %% [markdown]
# ## Two versions of the MODE score
#
# The MODE score of Che et al. (2017) was proposed because the Inception score ignores the class frequencies of the
# data. But in its definition the terms with these frequencies cancel, so it equals the Inception score. In another
# published version they do not cancel: it is `penalized` here. A sampler of zeros, ones and twos in equal parts shows
# both.

# %%
from gan_lab.metrics.scores import ModeScore

answers = 20.0 * torch.nn.functional.one_hot(torch.arange(3000) % 3, 10)
score = ModeScore(torch.nn.Identity(), [0.1] * 10)
score.update(answers)
print({name: round(float(value), 3) for name, value in score.compute().items()})

# %% [markdown]
# ## Remedies for mode collapse
#
# The loss does not show a collapse. Check `eval/coverage_modes` or `eval/stacked_modes`, and the images. Then change
# the GAN variant, not the seed: `model=d2gan`, `model=pacgan`, `model=wgan_gp` and `model=unrolled_gan` compose with
# the same networks and data, and `gan-lab compare` compares them.
