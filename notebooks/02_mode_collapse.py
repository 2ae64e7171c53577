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
# A generator that always draws the same good sample fools a discriminator for a while. Real data have many *modes*, and a
# GAN may serve a few of them only. On points in the plane nothing of this is hidden: the true density is known, and the
# eye sees all of it. This notebook trains a plain GAN and two remedies on eight Gaussians on a circle, counts what each
# of them covers, and then counts modes of images, where the eye no longer helps.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/02_mode_collapse.py` makes a notebook of it.

# %%
import json
import tempfile
from pathlib import Path

import torch
from IPython.display import Image, Markdown

import gan_lab
from gan_lab.config.comparing import compare, compare_runs
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.data.mixtures import ring
from gan_lab.metrics.points import HistogramDivergence, ModeCoverage
from gan_lab.noise import Noise

BUDGET = 3_000_000  # points that a run sees
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## What a number means before any training
#
# Three samplers whose quality is known: the true law, one that serves four of the eight modes, and one that serves one.
# *Symmetric KL* compares a histogram of 10,000 points with the exact probabilities of its 50 x 50 cells. Even the true
# law does not get 0, because 10,000 points are not a density: that is the *floor*.

# %%
truth = ring()
points, labels = truth.sample(Noise(0, 10_000))
for kept in (8, 4, 1):
    coverage, divergence = ModeCoverage(truth), HistogramDivergence(truth)
    some = points[labels < kept]
    coverage.update(some)
    divergence.update(some)
    print(f"{kept} modes served: {int(coverage.compute()['modes'])} counted, symmetric KL {divergence.compute()['symmetric']:.2f}")

# %% [markdown]
# ## Train the plain GAN and two remedies
#
# D2GAN (Nguyen et al., 2017) has a second discriminator that rewards the generator for what the first one forgets. PacGAN
# (Lin et al., 2018) shows the discriminator two samples at once, so that sameness itself gives a generator away. All three
# have the same networks, rates and latents: `conf/setting/ring/` has the settings, and
# `gan-lab train experiment=ring_methods` runs ten methods with five seeds.

# %%
METHODS = ("gan", "pacgan", "d2gan")
for method in METHODS:
    fit(
        compose(
            f"setting=ring/{method}", "metrics=points", f"budget.images={BUDGET}", "hardware=cpu",
            f"run.dir={folder}/ring/{method}", "callbacks.progress=null",
        )
    )  # fmt: skip

# %% [markdown]
# The samples of each over time, with the truth at the right. First the plain GAN:

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
# Behind the points of the plain GAN, what its discriminator makes of the plane as training goes on. Where the generator
# piles up its points the discriminator learns to say no, the generator moves on, and the field turns after it.

# %%
Image(folder / "ring" / "gan" / "samples" / "field.gif")

# %% [markdown]
# ## Compare
#
# `compare_runs` is what `gan-lab compare` calls: it reads run folders, and writes a table, curves and a sheet.

# %%
print(compare_runs(folder / "ring", ["eval/*"], columns=6))
Markdown((folder / "ring" / "comparison.md").read_text().partition("## What")[0])

# %%
Image(folder / "ring" / "curves.png")

# %%
Image(folder / "ring" / "sheet.png")

# %% [markdown]
# Every number in `results.json` says how it was made, so that two of them are compared only if they can be:

# %%
record = json.loads((folder / "ring" / "d2gan" / "results.json").read_text())["eval/kl_symmetric_10k"]
for key, value in record.items():
    print(f"{key:12} {value}")

# %% [markdown]
# ## Modes of images
#
# Three random digits as the channels of one image make 1,000 modes (Metz et al., 2017). A classifier reads the digits. It
# is trained once on the real ones and kept; its error on digits that it has not seen stands beside every number, since a
# misread digit may count as a mode that is not there. These are the small digits of scikit-learn, drawn by the networks of
# `experiment=stacked_mnist`, whose discriminator is small on purpose; that experiment compares eight games on MNIST's digits.

# %%
cfg = compose(
    "experiment=stacked_mnist", "model=dcgan", "dataset=stacked_digits", "metrics=stacked_digits", f"budget.images={BUDGET // 20}",
    "hardware=cpu", "evaluation.samples=5000", f"run.dir={folder}/stacked", "callbacks.progress=null",
)  # fmt: skip
fit(cfg)
for key, record in json.loads((folder / "stacked" / "results.json").read_text()).items():
    print(f"{key:34} {record['value']:.3f}   perfect: {record['floor']:.3f}   classifier error: {record['classifier_error']:.4f}")

# %%
Image(folder / "stacked" / "samples" / "final.png")

# %% [markdown]
# A few dozen modes of 1,000. docs/runs.md has four games on MNIST's digits after a longer run, where PacGAN covers 918.

# %% [markdown]
# ## One score that is two
#
# The MODE score of Che et al. (2017) was proposed because the Inception score ignores which classes the data have. By its
# definition the terms with the data's classes cancel, and it *is* the Inception score. A printed variant does not cancel:
# it is `penalized` here. A sampler of ones, twos and threes in equal parts shows both.

# %%
from gan_lab.metrics.scores import ModeScore

answers = 20.0 * torch.nn.functional.one_hot(torch.arange(3000) % 3, 10)
score = ModeScore(torch.nn.Identity(), [0.1] * 10)
score.update(answers)
print({name: round(float(value), 3) for name, value in score.compute().items()})

# %% [markdown]
# ## What to do about a collapse
#
# The loss does not tell. Look at `eval/coverage_modes` or `eval/stacked_modes`, and at the strip. Then change the game, and
# not the seed: `model=d2gan`, `model=pacgan`, `model=wgan_gp` and `model=unrolled_gan` compose with the same networks and
# data, and `gan-lab compare` puts them side by side.
