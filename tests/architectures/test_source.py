"""Wrappers of `conditioning=source_image`."""

import pytest
import torch

from gan_lab.architectures.dcgan import DCGANDiscriminator
from gan_lab.architectures.packing import Packing
from gan_lab.architectures.source import ConcatSource, TakeSource
from gan_lab.config.build import build_data
from gan_lab.errors import ConfigError
from gan_lab.gans.gan import GAN
from tests.gans.test_image_condition import make


def test_any_discriminator_scores_pairs() -> None:
    wrapper = ConcatSource(2)
    kwargs = wrapper.network_kwargs({"channels": 3, "resolution": 16, "width": 4, "norm": "none", "init_scale": 0.5})
    assert kwargs["channels"] == 5
    torch.manual_seed(0)
    network = wrapper(DCGANDiscriminator(**kwargs))
    images, sources = torch.randn(4, 3, 16, 16), torch.randn(4, 2, 16, 16)
    logits = network(images, sources)
    assert torch.equal(logits, network.network(torch.cat([images, sources], 1)))
    assert (logits != network(images, sources.flip(0))).all()
    with pytest.raises(ValueError, match="call it with the source image of each sample"):
        network(images)


def test_packs_have_no_common_source() -> None:
    packed = Packing(2)(DCGANDiscriminator(10, 16, 4))
    with pytest.raises(ValueError, match="each has its own source; remove the wrapper packing"):
        ConcatSource(2)(packed)


def test_what_has_no_source_is_refused(tiny) -> None:
    with pytest.raises(ConfigError, match=r"needs a data set with a source for each image; set dataset=paired"):
        build_data(tiny("conditioning=source_image"))
    with pytest.raises(ValueError, match="needs a generator that takes images; set architecture=unet"):
        TakeSource(3).network_kwargs({"channels": 3})


def test_latents_of_no_numbers_are_for_generators_that_take_images(tiny) -> None:
    with pytest.raises(ConfigError, match=r"^latent\.dim=0 is not allowed: it must be at least 1 for a generator that"):
        build_data(tiny("latent.dim=0"))


def test_the_generator_makes_the_image_from_the_source() -> None:
    module = make()
    assert GAN.translators == {"image": "generator"}
    assert getattr(module, module.translators["image"]) is module.generator
