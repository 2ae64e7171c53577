"""`gan-lab visualize`: what activates the maps of a discriminator (Radford et al., 2016, section 6.2)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from gan_lab.analysis.guided import Strongest, guided_gradient, purity, receptive_fields, strongest, unit
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import RealImages, Trained, device_named
from gan_lab.commands.inspected import features_of, read_images, shapes_of, with_images_of
from gan_lab.data.pixels import to_unit_range
from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, image_grid, sheet
from gan_lab.layers.activations import ActivationShape, shape_numbered
from gan_lab.layers.batch_statistics import with_population_statistics
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.progress import progress
from gan_lab.reports.tables import aligned
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.sampling.discriminators import load_discriminator

_SIZE = 96  # pixels of an image in a figure
_RANDOM_GROUPS = 2000  # of images, for the purity by chance

NOTES = [
    "The images of an untrained network's maps are about as much alike, and guided backpropagation partly draws the "
    "image whatever the unit is: only what differs from the untrained network was learned.",
]


@dataclass(frozen=True)
class Visualization:
    """Figures of maps and filters.

    Attributes:
        layer: The activation.
        purity: Mean fraction of the most frequent class among the images of a map, by network; of random images under
            `chance`. Empty without labels.
        folder: Holds the figures and `finding.json`.
    """

    layer: ActivationShape
    purity: dict[str, float]
    folder: Path

    @property
    def table(self) -> list[list[str]]:
        """Rows of text with a header; empty without labels."""
        header = [["network", "fraction of the most frequent class among the images of a map"]]
        return [*header, *([name, f"{value:.3f}"] for name, value in self.purity.items())] if self.purity else []

    def __str__(self) -> str:
        lines = aligned(self.table) if self.table else []
        return "\n".join([f"Layer {self.layer}.", *lines, *NOTES, f"Written to {self.folder}."])


def visualize(cfg: DictConfig) -> Visualization:
    """Draw the maps and filters of a discriminator by a composed `visualize` config, into the run folder.

    Raises:
        UserError: A value, the run or the data cannot be used.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load_discriminator(path, device, cfg.allow_targets)
    folder = finding_folder(path, "visualize", typed("visualize", cfg), cfg.out)
    with value_errors_as_config_errors():
        data = RealImages(with_images_of(cfg, loaded.config), trained=Trained.of(cfg, loaded.config))
        images, labels = read_images(data, cfg.images)
    layer = _layer(cfg.layer, shapes_of(loaded, images))
    if invalid := [number for number in cfg.maps if not 0 <= number < layer.channels]:
        raise ConfigError(
            f"maps={list(cfg.maps)} is not allowed: there is no map {invalid[0]}; give numbers from 0 to "
            f"{layer.channels - 1}."
        )
    if cfg.count > len(images):
        raise ConfigError(
            f"count={cfg.count} is not allowed: it must be at most the number of images, {len(images):,}."
        )
    figures: dict[str, tuple[Image.Image, str]] = {}
    found: dict[str, float] = {}
    networks: dict[str, nn.Module] = {"trained": loaded.network, "untrained": loaded.untrained(cfg.seed)}
    for name, network in networks.items():
        # Running statistics of an untrained network are those of no images.
        inputs = ((each,) for each in _batches(images, cfg.batch_size, device))
        network = with_population_statistics(network, inputs)
        features = features_of(network)
        best = strongest(features, _batches(images, cfg.batch_size, device), layer.number, cfg.count)
        caption = f"{name}: images with the largest activations of maps of layer {layer}, and their {_RULES[cfg.rule]}"
        figures[f"maps_{name}.png"] = (_maps(features, images, best, layer, cfg, device), caption)
        if labels is not None:
            found[name] = purity(best.images, labels)
    if labels is not None:
        generator = torch.Generator().manual_seed(0)
        groups = torch.randint(len(labels), (_RANDOM_GROUPS, cfg.count), generator=generator)
        found["chance"] = purity(groups, labels)
    filters = sheet([(name, [_filters(network)]) for name, network in networks.items()], [""], 480)
    figures["filters.png"] = (filters, "filters of the first layer, each scaled to its own range")
    done = Visualization(layer, found, folder)
    protocol = (
        f"Layer {layer}; the {cfg.count} images of {len(images):,} with the largest activation of each map; rule "
        f"{cfg.rule}; batch norms with the statistics of these images; untrained weights of seed {cfg.seed}; "
        f"discriminator after {loaded.images_seen:,} images."
    )
    finding = Finding(
        "What activates the discriminator's maps", done.table, protocol, NOTES, [], typed("visualize", cfg)
    )
    save_finding(path, folder, finding, figures)
    return done


_RULES = {
    "relu": "guided backpropagation",
    "leaky": "guided backpropagation with the slope of leaky units",
    "plain": "gradient",
}


def _batches(images: Tensor, size: int, device: torch.device) -> Iterator[Tensor]:
    for part in progress(images.split(size), "activations", -(-len(images) // size)):
        yield to_unit_range(part).to(device)


def _layer(number: int | None, shapes: Sequence[ActivationShape]) -> ActivationShape:
    """The chosen activation, by default the last one with maps.

    Raises:
        ConfigError: There is none, or it has no maps.
    """
    with_maps = [shape for shape in shapes if shape.height > 1 or shape.width > 1]
    if not with_maps:
        raise ConfigError("The discriminator has no layers with maps, so there is nothing to show.")
    return with_maps[-1] if number is None else shape_numbered(with_maps, number)


def _maps(
    features: Callable[[Tensor], Tensor], images: Tensor, best: Strongest, layer: ActivationShape, cfg: DictConfig,
    device: torch.device,
) -> Image.Image:  # fmt: skip
    """A row for each map: its images, and the gradient of its unit for each, both cropped to the receptive field."""
    noise = torch.randn(4, *images.shape[1:], generator=torch.Generator().manual_seed(0)).to(device)
    field = receptive_fields(features, noise, layer.number)
    rows = []
    for number in cfg.maps:
        chosen, places = to_unit_range(images[best.images[number]]), (best.rows[number], best.columns[number])
        gradients = guided_gradient(unit(features, layer.number, number, *places), chosen.to(device), cfg.rule).cpu()
        shown = []
        for kind in (chosen, gradients):
            for each, row, column in zip(kind, *(place.tolist() for place in places), strict=True):
                top, bottom, left, right = field(row, column)
                cropped = each[:, top:bottom, left:right]
                scale = 1 if kind is chosen else cropped.abs().max().clamp(min=1e-12)
                shown.append(enlarged(cropped / scale, _SIZE))
        rows.append((f"map {number}", shown))
    return sheet(rows, ["image"] * cfg.count + ["gradient"] * cfg.count, _SIZE)


def _filters(network: nn.Module) -> Image.Image:
    """The first convolution's filters in a grid: in color if it has three inputs, else those of the first input."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ConfigError("The discriminator has no convolutions, so there are no filters to show.")
    weight = first.weight.detach().float().cpu()  # (out, in, k, k)
    weight = weight if weight.shape[1] == 3 else weight[:, :1]
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    return image_grid(2 * (weight - low) / (high - low).clamp(min=1e-12) - 1, size=480)
