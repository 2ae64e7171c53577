"""What needs no data is refused before a data set is decoded."""

from pathlib import Path

import pytest

from gan_lab.config.build import build_data
from gan_lab.config.compose import compose
from gan_lab.errors import UserError

REFUSED = {
    "n_critic=0": "n_critic",
    "latent.dim=0": "latent.dim",
    "averaging.half_life_images=-1": "averaging.half_life_images",
    "optimizer.generator.lr=-1": "optimizer.generator",
    "callbacks.checkpoints.keep=0": "keep",
    "lr=1e30": r"lr=1e\+30 is not allowed: its size must be at most 1e\+18",
    "regularizer=[r1] regularizer.r1.weight=-1e30": "regularizer.r1.weight",
    f"budget.images=1{'0' * 30}": "budget.images",
    "callbacks.sample_grids.budget_images=0": "callbacks.sample_grids.budget_images=0",
    "callbacks.sample_grids.folder=''": "callbacks.sample_grids.folder=''",
    "architecture.generator.init_scale=0": "architecture.generator.init_scale=0",
    "architecture=resnet architecture.discriminator.skip_gain=-1": "architecture.discriminator.skip_gain=-1",
    "regularizer=[consistency] regularizer.consistency.transform.resolution=-1": "transform.resolution=-1",
}
"""Overrides to what the sentence must name."""


@pytest.mark.parametrize(("overrides", "named"), REFUSED.items())
def test_components_are_refused_before_the_images_are_read(overrides: str, named: str, tmp_path: Path) -> None:
    config = compose("dataset=image_folder", f"dataset.source={tmp_path}", "hardware=cpu", *overrides.split())
    with pytest.raises(UserError, match=named):
        build_data(config)


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_what_is_advised_for_data_without_sources_leads_somewhere(model: str) -> None:
    data = ("dataset=digits", "hardware=cpu")
    with pytest.raises(UserError) as error:
        build_data(compose(f"model={model}", *data))
    named, _, advice = str(error.value).rstrip(".").partition("; for other data sets, ")
    assert "set dataset=paired, or dataset=unpaired with model=cyclegan" in named
    build_data(compose(*advice.split(), *data))
    with pytest.raises(UserError) as error:
        build_data(compose(f"model={model}", "conditioning=none", *data))
    build_data(compose(*str(error.value).rstrip(".").partition(" as in ")[2].split(), *data))


@pytest.mark.parametrize(
    "group", ["wrapper/discriminator=[minibatch_stddev,packing,minibatch_stddev]", "regularizer=[r1,r1]"]
)
def test_a_choice_that_is_named_twice(group: str) -> None:
    with pytest.raises(UserError, match=r"is not allowed: it must name (minibatch_stddev|r1) once"):
        compose(group)
    assert list(compose("betas=[0.5,0.5]").betas) == [0.5, 0.5]


def test_a_folder_without_images_is_refused_afterwards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no images"):
        build_data(compose("dataset=image_folder", f"dataset.source={tmp_path}", "hardware=cpu"))
