"""Networks of your own with loss, penalty and wrapper from the configs: python examples/custom_networks.py"""

from torch import nn

import gan_lab
from gan_lab.architectures.base import Discriminator


class MyGenerator(nn.Module):
    def __init__(self, latent_dim, width=32):
        super().__init__()
        first = [nn.Linear(latent_dim, width * 8 * 8), nn.ReLU(), nn.Unflatten(1, (width, 8, 8))]
        last = [nn.Upsample(scale_factor=4), nn.Conv2d(width, 1, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*first, *last)

    def forward(self, latents, condition=None):
        return self.layers(latents)


class MyDiscriminator(Discriminator):
    def __init__(self, width=32):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 4, stride=4), nn.LeakyReLU(0.2), nn.Flatten())
        self.output = nn.Linear(width * 8 * 8, 1)  # wrappers and conditions find the last layer by this name

    def features(self, x, condition=None):
        return self.layers(x)


if __name__ == "__main__":
    parts = ["loss=hinge", "regularizer=[r1]", "wrapper/discriminator=[spectral_norm]"]
    config = gan_lab.compose(*parts, "budget.images=512", allow_targets=["custom_networks"])
    config.architecture = {
        "generator": {"_target_": "custom_networks.MyGenerator", "latent_dim": "${latent.dim}"},
        "discriminator": {"_target_": "custom_networks.MyDiscriminator"},
    }
    experiment = gan_lab.fit(config)
    samples = gan_lab.load(config.run.dir, allow_targets=["custom_networks"]).sample(16, seed=0)
    print(f"{experiment.module.images_seen} images seen, samples {tuple(samples.shape)}")
