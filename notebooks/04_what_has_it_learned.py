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
# # What has it learned?
#
# The GAN of this notebook is trained without labels. Does its discriminator know classes? Which parts of the generator
# draw strokes? What do directions of its latents mean? Radford et al. (2016) asked this first; each question here is
# one function. Every answer has a control beside it, for an untrained network can do more than one expects.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/04_what_has_it_learned.py` makes a
# notebook of it.

# %%
import tempfile
from pathlib import Path

from IPython.display import Image

import gan_lab

folder = Path(tempfile.mkdtemp()) / "inspected"
BUDGET = 60_000  # real images; about a minute on two CPU cores
SETTINGS = {"device": "cpu", "weights": "ema"}
config = gan_lab.compose(
    "model=dcgan",
    "hardware=cpu",
    width=16,
    **{"dataset.resolution": 16, "budget.images": BUDGET, "run.dir": str(folder)},
)
gan_lab.fit(config)
Image(folder / "samples" / "ema.gif")

# %% [markdown]
# ## Does the discriminator know classes?
#
# A linear classifier gets ten labels of each digit, and the activations of the discriminator as features. Compare the
# trained network with the same network untrained: only the difference was learned. These digits, of 8 pixels, are so
# easy that pixels are as good as either network: nothing that was learned shows. On MNIST the trained network wins
# clearly, with 95.6 % against 91.9 % (untrained) and 87.6 % (pixels); see docs/guide/inspecting.md.

# %%
print(gan_lab.probe(folder, labels_per_class=10, pca=None, device="cpu"))

# %% [markdown]
# ## What do its maps react to?
#
# For each map the images that activate it most, and the pixels that matter, by guided backpropagation; then the same
# for the untrained network. Guided backpropagation partly draws the image whatever the map is, so both are similar.

# %%
seen = gan_lab.visualize(folder, images=1_000, maps=[0, 1, 2], count=4, device="cpu")
print(seen)
Image(seen.folder / "maps_trained.png")

# %%
Image(seen.folder / "maps_untrained.png")

# %% [markdown]
# ## Forget a part of the image
#
# Which maps of the generator draw strokes, that is bright pixels? Without them strokes fade; compare with as many
# random maps. `concept.label=7` asks the same about what makes a 7 for a classifier.

# %%
strokes = {"concept.rule": "bright", "layer": 2}
forgotten = gan_lab.forget(folder, drop=[1, 2, 4], show=4, random_sets=3, test_samples=200, **strokes, **SETTINGS)
print(forgotten)
Image(forgotten.folder / "forgotten.png")

# %% [markdown]
# ## Directions
#
# The principal components of the generator's first layer (GANSpace). Each row is a sample, shifted along a direction in
# both senses.

# %%
found = gan_lab.directions(folder, samples=2_000, directions=4, show=1, **SETTINGS)
print(found)
Image(found.folder / "direction_00.png")

# %% [markdown]
# ## Arithmetic
#
# A - B + C with the latents of chosen samples: here A are the three with the most ink of a hundred, B those with the
# least, and C other thin ones. The result should be like C and thick. The same sum of pixels is a ghost.
# `rule="bright"` chooses such exemplars of two classes by a classifier, and counts how often it works.

# %%
ink = gan_lab.load(folder, device="cpu").sample(100).mean((1, 2, 3))
by_ink = ink.argsort().tolist()
summed = gan_lab.arithmetic(folder, a=by_ink[-3:], b=by_ink[:3], c=by_ink[10:13], **SETTINGS)
Image(summed.folder / "arithmetic.png")

# %% [markdown]
# ## Find the latent of an image
#
# Optimization of a latent until its sample is like the image. For samples of the generator the answer is known, and
# often not found: many latents make nearly the same digit.

# %%
inverted = gan_lab.invert(folder, count=4, steps=max(10, BUDGET // 200), starts=2, **SETTINGS)
print(inverted)
Image(inverted.folder / "inverted.png")

# %% [markdown]
# All tables and figures are now in `report.html` of the run, each with the command that makes it again. The same is
# possible with a file of `gan-lab import`; docs/guide/inspecting.md has the options.
