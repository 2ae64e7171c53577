"""A generator with images as conditions: a U-Net that sharpens blurred digits."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, Trainer
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gan_lab.callbacks.sample_grids import FIXED_LATENTS, SampleGrids
from gan_lab.data.digits import read_digits
from gan_lab.figures import image_grid, with_column_names
from gan_lab.gans.conditions import FromData
from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import NonSaturating
from gan_lab.noise import Noise
from gan_lab.types import DataSpec
from tests.gans.test_logit_maps import Patches
from tests.helpers.points_gan import adam, changed_keys, state


class Blurred(Dataset):
    """Digits of 8 x 8 pixels in [-1, 1], and the same digits pooled to 4 x 4 and enlarged."""

    def __init__(self, count: int) -> None:
        self.images = digits(count)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index], "blurred": blur(self.images[index : index + 1])[0]}


def digits(count: int) -> Tensor:
    return torch.from_numpy(read_digits().items[:count]).float()[:, None] / 127.5 - 1


def blur(images: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(images, 2), scale_factor=2)


class UNet(nn.Module):
    """Two levels, 8 and 4 pixels, with a skip connection; latents are added at the lower level."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, padding=1)
        self.bottom = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.latents = nn.Linear(3, 8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.output = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        first = self.down(condition).relu()
        low = (self.bottom(first) + self.latents(latents)[:, :, None, None]).relu()
        return self.output(torch.cat([first, self.up(low).relu()], 1)).tanh()


class Pairs(Patches):
    """A map of logits of pairs of sample and source."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 8, 4, stride=2), nn.LeakyReLU(0.2))
        self.output = nn.Conv2d(8, 1, 1)

    def features(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return self.layers(torch.cat([samples, condition], 1))


class Data(LightningDataModule):
    """A data module with the methods that image grids need."""

    spec = DataSpec(1, 8)
    size = held_out_size = 32
    has_pairs = True

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Blurred(32), batch_size=8)

    def real_batch(self, count: int) -> Tensor:
        return digits(count)

    def examples(self, count: int) -> dict[str, Tensor]:
        return {"image": digits(count), "blurred": blur(digits(count))}


def make() -> GAN:
    torch.manual_seed(0)
    parts = Parts(
        loss=NonSaturating(),
        optimizers={"generator": adam(), "discriminator": adam()},
        latent=LatentPrior(3),
        condition=FromData("blurred"),
    )
    return GAN(UNet(), Pairs(), parts)


def fit(module: GAN, batches: int, *callbacks: Any, data: LightningDataModule | None = None) -> Trainer:
    trainer = Trainer(
        accelerator="cpu", devices=1, max_steps=batches, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=list(callbacks),
    )  # fmt: skip
    loader = DataLoader(Blurred(32), batch_size=8) if data is None else None
    trainer.fit(module, loader, datamodule=data)
    return trainer


def test_both_networks_get_the_source_of_each_sample() -> None:
    module = make()
    batch = {"image": digits(4), "blurred": blur(digits(4))}
    for step in (module.discriminator_step(batch, Noise(0, 4)), module.generator_step(batch, Noise(0, 4))):
        assert torch.equal(step.real.condition, batch["blurred"]) and torch.equal(step.fake.condition, batch["blurred"])
        assert step.real.logits.shape == step.fake.logits.shape == (4, 3, 3)
        torch.testing.assert_close(step.fake.samples, module.generator(step.fake.latents, batch["blurred"]))


def test_trains() -> None:
    module = make()
    before = {name: state(getattr(module, name)) for name in ("generator", "discriminator")}
    fit(module, 6)
    assert module.images_seen == 48
    for name, old in before.items():
        new = state(getattr(module, name))
        assert all(torch.isfinite(value).all() for value in new.values()) and changed_keys(old, new) == old.keys(), name
    assert all(torch.isfinite(value) for record in module.records for values in record.values() for value in values)


def test_inputs_of_figures_are_the_first_sources_of_the_data() -> None:
    """The same at each call, repeated from the first if the data set has fewer."""
    module = make()
    fit(module, 1)
    latents, sources = module.sample_inputs(10, 1)
    expected = blur(digits(8))
    assert latents.shape == (10, 3) and torch.equal(sources, torch.cat([expected, expected[:2]]))
    assert torch.equal(module.sample_inputs(10, 1)[1], sources)


def test_grids_show_source_output_and_target_side_by_side(tmp_path: Path) -> None:
    module = make()
    grids = SampleGrids(str(tmp_path), budget_images=16, every_images=16, count=24)

    fit(module, 2, grids, data=Data())
    latents, sources = module.sample_inputs(8, module.seed, FIXED_LATENTS)
    for kind, average in (("ema", True), ("raw", False)):
        outputs = module.generate(latents, sources, average)
        triples = torch.stack([sources, outputs, digits(8)], 1).flatten(0, 1)
        expected = with_column_names(image_grid(triples, 3 * 2), ["source", "output", "target"] * 2)
        assert Image.open(tmp_path / f"{kind}_0000000016.png").tobytes() == expected.tobytes()


def test_grids_repeat_no_source_and_show_no_targets_of_unpaired_data(tmp_path: Path) -> None:
    class Unpaired(Data):
        held_out_size = 5
        has_pairs = False

    module = make()
    fit(module, 1, SampleGrids(str(tmp_path), budget_images=8, count=24), data=Unpaired())
    latents, sources = module.sample_inputs(5, module.seed, FIXED_LATENTS)
    pairs = torch.stack([sources, module.generate(latents, sources)], 1).flatten(0, 1)
    expected = with_column_names(image_grid(pairs, 2 * 2), ["source", "output"] * 2)
    assert Image.open(tmp_path / "final.png").tobytes() == expected.tobytes()
