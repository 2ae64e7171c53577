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
# A GAN trains two networks against each other. The *discriminator* gives each image a score, high for real ones. The
# *generator* turns random numbers into images and is trained to get high scores, too. This notebook trains both on
# scikit-learn's handwritten digits, inspects the samples, and shows the components.
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
from gan_lab.training.fit import fit
from gan_lab.figures import draw_samples

# %% [markdown]
# ## Compose
#
# `compose` takes the same overrides as the command line. Everything else comes from the files in `conf/`: by default
# the networks of DCGAN, a gradient penalty on real images (R1, Mescheder et al., 2018), and the label of each digit as an
# input of both networks.

# %%
folder = Path(tempfile.mkdtemp()) / "first"
BUDGET = 60_000  # real images; less than a minute on two CPU cores
cfg = compose(f"run.dir={folder}", f"budget.images={BUDGET}", "hardware=cpu", "callbacks.train_log.every_batches=10")
print(cfg.algorithm._target_, cfg.loss._target_, cfg.optimizer.generator, sep="\n")

# %% [markdown]
# ## Train
#
# `gan-lab train` calls `fit`. It returns the data, the algorithm and the trainer.

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
# always right) and 2 ln 2 = 1.386 (it cannot distinguish them).

# %%
with open(folder / "metrics.csv") as file:
    rows = list(csv.DictReader(file))
rows = [row for row in rows if row["train/discriminator/adversarial"]]  # rows with losses
for row in rows[:: max(1, len(rows) // 8)]:
    seen, loss = float(row["progress/images_seen"]), float(row["train/discriminator/adversarial"])
    print(f"{seen:9.0f} images   discriminator {loss:.3f}")

# %% [markdown]
# ## Sample
#
# One line loads a run; sampling does not need the data set. The seed determines the images, and `condition` the digits.

# %%
loaded = gan_lab.load(folder)
images = loaded.sample(36, seed=0, condition=[digit for digit in range(9) for _ in range(4)])
print(images.shape, images.dtype, f"in [{images.min():.2f}, {images.max():.2f}]")
draw_samples(images, columns=12)

# %% [markdown]
# ## Walk through the latent space
#
# Images of one digit change smoothly along a line between two latents.

# %%
start, end = loaded.latent.sample(gan_lab.noise.Noise(3, 2))
steps = torch.linspace(0, 1, 12)[:, None]
draw_samples(loaded.generate((1 - steps) * start + steps * end, torch.full((12,), 3)), columns=12)

# %% [markdown]
# ## The algorithm
#
# The training loop is `AdversarialModule.training_step`; an algorithm is a list of phases.

# %%
for phase in experiment.module.phases():
    print(f"{phase.player:14} is updated every {phase.interval} batch(es)")

# %% [markdown]
# Another loss or regularizer is one override: `compose("loss=hinge", "regularizer=[r1]",
# "architecture.discriminator.norm=none")`, and the same on the command line. `gan-lab list` lists all choices.
