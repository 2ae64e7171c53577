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
# # A first GAN
#
# Two networks play a game. The *discriminator* gives each image a score, high for real ones. The *generator* turns
# random numbers into images and wants high scores too. This notebook trains both on the handwritten digits that ship
# with scikit-learn, looks at what comes out, and opens the parts.
#
# It needs gan_lab and `pip install jupytext`; `jupytext --to ipynb notebooks/01_first_gan.py` makes a notebook of it.

# %%
import csv
import tempfile
from pathlib import Path

import torch
from IPython.display import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.pictures import picture

# %% [markdown]
# ## Compose
#
# `compose` takes the same words as the command line. Everything that is not said comes from the files in `conf/`: here
# the DCGAN of Radford et al. (2016) and its rates.

# %%
folder = Path(tempfile.mkdtemp()) / "first"
BUDGET = 300_000  # real images; a good two minutes on two CPU cores
cfg = compose(f"run.dir={folder}", f"budget.images={BUDGET}", "hardware=cpu", "callbacks.train_log.every_batches=10")
print(cfg.game._target_, cfg.loss._target_, cfg.optimizer.generator, sep="\n")

# %% [markdown]
# ## Train
#
# `fit` is what `gan-lab train` calls. It returns what it built: the data, the game and the trainer.

# %%
experiment = fit(cfg)
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# The real digits, and samples of the averaged generator from the first to the last image seen:

# %%
Image(folder / "samples" / "real.png")

# %%
Image(folder / "samples" / "ema.gif")

# %% [markdown]
# ## Read the log
#
# A GAN's losses do not fall towards zero. While the two are balanced, the discriminator's loss stays between 0 (it is
# always right) and 2 ln 2 = 1.386 (it cannot tell).

# %%
with open(folder / "metrics.csv") as file:
    rows = list(csv.DictReader(file))
rows = [row for row in rows if row["train/discriminator/adversarial"]]  # lines of the losses
for row in rows[:: max(1, len(rows) // 8)]:
    print(f"{float(row['progress/images_seen']):9.0f} images   discriminator {float(row['train/discriminator/adversarial']):.3f}")

# %% [markdown]
# ## Sample
#
# One line loads a run and draws from it, without the data set. The seed decides the images.

# %%
loaded = gan_lab.load(folder)
images = loaded.sample(36, seed=0)
print(images.shape, images.dtype, f"in [{images.min():.2f}, {images.max():.2f}]")
picture(images, columns=12)

# %% [markdown]
# ## Walk through the latent space
#
# Images change smoothly along a line between two latents.

# %%
start, end = loaded.latent.sample(gan_lab.noise.Noise(3, 2))
steps = torch.linspace(0, 1, 12)[:, None]
picture(loaded.generator((1 - steps) * start + steps * end), columns=12)

# %% [markdown]
# ## The game, opened
#
# The whole loop is `AdversarialModule.training_step`; what is minimized is a list of phases.

# %%
for phase in experiment.module.phases():
    print(f"{phase.name:14} moves every {phase.interval} batch(es)")

# %% [markdown]
# Another loss or regularizer is another word: `compose("loss=hinge", "regularizer=[r1]",
# "architecture.discriminator.norm=none")`, and the same on the command line. `gan-lab list` shows them all.
