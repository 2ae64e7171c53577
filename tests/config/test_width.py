"""`width=` is one number for both networks of every architecture."""

import pytest

from gan_lab.config.compose import compose
from gan_lab.config.schema import CONF

ARCHITECTURES = [file.stem for file in sorted((CONF / "architecture").glob("*.yaml"))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_sets_both_networks(architecture: str) -> None:
    networks = compose(f"architecture={architecture}", "width=24").architecture
    assert (networks.generator.width, networks.discriminator.width) == (24, 24)
    networks = compose(f"architecture={architecture}", "width=24", "architecture.generator.width=8").architecture
    assert (networks.generator.width, networks.discriminator.width) == (8, 24)


@pytest.mark.parametrize(
    ("overrides", "widths"),
    [
        (("architecture=dcgan",), (16, 16)),  # digits
        (("architecture=dcgan", "dataset=mnist"), (64, 64)),
        (("architecture=mlp",), (128, 128)),
        (("architecture=maxout",), (1200, 240)),
        (("architecture=pggan", "dataset=mnist"), (512, 512)),
        (("architecture=stylegan2", "dataset=mnist"), (512, 512)),
        (("architecture=r3gan", "dataset=mnist"), (64, 64)),
    ],
)
def test_without_it_the_architecture_and_the_data_decide(overrides: tuple[str, ...], widths: tuple[int, int]) -> None:
    networks = compose(*overrides).architecture
    assert (networks.generator.width, networks.discriminator.width) == widths
