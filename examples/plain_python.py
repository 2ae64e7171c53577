"""A GAN of your own networks in a plain Lightning Trainer, without any config: python examples/plain_python.py"""

import torch
from lightning.pytorch import Trainer
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

from gan_lab.architectures.base import Discriminator
from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import NonSaturating


class MyGenerator(nn.Sequential):
    def forward(self, latents, condition=None):
        return super().forward(latents).view(-1, 1, 8, 8)


class MyDiscriminator(Discriminator):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2))
        self.output = nn.Linear(128, 1)

    def features(self, x, condition=None):
        return self.body(x)


digits = torch.tensor(load_digits().images).float().unsqueeze(1) / 8 - 1  # (1797, 1, 8, 8) in [-1, 1]
generator = MyGenerator(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh())


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3, betas=(0.5, 0.999))


parts = Parts(NonSaturating(), {"generator": adam, "discriminator": adam}, LatentPrior(16))
gan = GAN(generator, MyDiscriminator(), parts)
trainer = Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(gan, DataLoader(digits, batch_size=64, shuffle=True, drop_last=True))
samples = gan(*gan.sample_inputs(16, 0))  # (16, 1, 8, 8), by the averaged generator
print(f"{gan.images_seen} images seen, samples {tuple(samples.shape)} in [{samples.min():.2f}, {samples.max():.2f}]")
