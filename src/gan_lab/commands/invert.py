"""`gan-lab invert`: latents or styles whose samples are nearest to given images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image
from safetensors.torch import save as serialized
from torch import Tensor

from gan_lab.analysis.inversion import Inversion
from gan_lab.charts.line_chart import Line, LineChart
from gan_lab.charts.png import line_charts
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import device_named, size_of_samples
from gan_lab.commands.inspected import features_of, shapes_of
from gan_lab.data.decode import Decoder
from gan_lab.data.image_folder import read_file_or_folder
from gan_lab.data.pixels import to_unit_range
from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, sheet, to_uint8
from gan_lab.files import atomic_write
from gan_lab.layers.activations import activations
from gan_lab.noise import mix
from gan_lab.reports.tables import aligned
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.discriminators import load_discriminator
from gan_lab.sampling.inverting import default_lr, encoded, has_normal_points, search
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.spaces import Space, space_named

FILE = "points.safetensors"

BASELINE = 1000
"""Random samples of which the nearest is compared with the result."""

_BASELINE = 0x42415345
"""Noise key of the random samples: an arbitrary constant."""

_FRAMES = 6
_SIZE = 96  # pixels of an image in the figure

NOTE = (
    "Many latents make nearly the same sample, so an inversion promises a reconstruction and not the latent of an "
    "image. The nearest of random samples and the mean image are what a search must beat."
)


@dataclass(frozen=True)
class Inverted:
    """Points of a latent space whose samples are nearest to images.

    Attributes:
        points: Latents or styles, float32 (n, dim); in w+ a style of each layer, (n, layers, dim).
        condition: Their condition with n rows, or None.
        errors: Mean squared difference of pixels in the range [-1, 1], of each image.
        nearest: Likewise of the nearest of 1,000 random samples.
        mean_image: Likewise of the mean of these samples.
        encoded: Likewise of the sample of the encoder's latent, where the search starts; None without that start.
        distances: Relative distance |z' - z| / |z| from the known point of each sample; None for given images.
        curve: Mean loss of the images at each step, with its noise, and at the end; of the start that is best there.
        names: Names of the images.
        space: `z`, `w` or `w+`.
        protocol: How they were found.
        folder: Holds `points.safetensors`, the figures and `finding.json`.
    """

    points: Tensor
    condition: Tensor | None
    errors: list[float]
    nearest: list[float]
    mean_image: list[float]
    encoded: list[float] | None
    distances: list[float] | None
    curve: list[float]
    names: list[str]
    space: str
    protocol: str
    folder: Path

    @property
    def table(self) -> list[list[str]]:
        """Rows of text with a header, the means last."""
        columns = {"inverted": self.errors, "nearest random sample": self.nearest, "mean image": self.mean_image}
        if self.encoded is not None:
            columns["encoder alone"] = self.encoded
        if self.distances is not None:
            columns["distance from the known point"] = self.distances
        rows = [["image", *columns]]
        for number, name in enumerate(self.names):
            rows.append([name, *(f"{values[number]:.4g}" for values in columns.values())])
        means = [f"{sum(values) / len(values):.4g}" for values in columns.values()]
        return [*rows, ["mean", *means]]

    def __str__(self) -> str:
        lines = ["Mean squared difference of pixels:", *aligned(self.table), NOTE, f"Protocol: {self.protocol}"]
        return "\n".join([*lines, f"Written to {self.folder}: {FILE}, inverted.png, curve.png."])


def invert(cfg: DictConfig) -> Inverted:
    """Invert images by a composed `invert` config; write the points, a table and a figure.

    Raises:
        UserError: A value, the run or an image cannot be used.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device, cfg.allow_targets)
    space = space_named(cfg.space, loaded)
    folder = finding_folder(path, "invert", typed("invert", cfg), cfg.out)
    known: Tensor | None = None
    if cfg.images is None:
        known, condition = space.draw(cfg.count, cfg.seed, cfg.labels)
        images, names = space.generate(known, condition), [f"sample {number}" for number in range(cfg.count)]
        if images.dim() != 4:
            raise ConfigError(f"{named(loaded.path)} generates points: gan-lab invert is for images.")
    else:
        images, names = _images(cfg, loaded, device)
        _, condition = loaded.draw(len(images), cfg.seed, cfg.labels)
    loss, first = _loss(images, path, cfg), _first_start(cfg, space, images, condition)
    found = search(
        space, loss, len(images), condition, cfg.steps, cfg.starts, cfg.lr, cfg.prior_weight, cfg.style_noise, cfg.seed,
        _FRAMES, first,
    )  # fmt: skip
    samples = space.generate(found.points, condition)
    random = _random_samples(space, cfg)
    compared = [_differences(samples, images), _nearest(random, images), _differences(random.mean(0)[None], images)]
    errors, nearest, mean_image = (each.tolist() for each in compared)
    alone = None if first is None else _differences(space.generate(first, condition), images).tolist()
    distances = None if known is None else _relative_distances(found.points, known).tolist()
    protocol = _protocol(cfg, space, first is not None)
    done = Inverted(
        found.points, condition, errors, nearest, mean_image, alone, distances, found.curve, names, space.name,
        protocol, folder,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / FILE) as target:
        target.write(serialized({"points": found.points.contiguous()}, metadata={"space": space.name}))
    figure = _figure(space, images, samples, found, condition)
    caption = "image, its inversion, and the first start over time"
    finding = Finding("Inverted images", done.table, protocol, [NOTE], command=typed("invert", cfg))
    curve = LineChart("Loss over steps", {cfg.distance: Line(range(len(found.curve)), found.curve)})
    figures = {"inverted.png": (figure, caption), "curve.png": (line_charts([curve]), "mean over the images")}
    save_finding(path, folder, finding, figures)
    return done


def _protocol(cfg: DictConfig, space: Space, encoder: bool) -> str:
    first = ", the first by the encoder" if encoder else ""
    prior = f"prior weight {cfg.prior_weight:g}, " if has_normal_points(space) else ""
    noise = "" if space.name == "z" else f"style noise {cfg.style_noise:g}, "
    return (
        f"{cfg.distance} in {space.name}, {cfg.starts} {'start' if cfg.starts == 1 else 'starts'} of {cfg.steps} steps"
        f"{first}, learning rate {cfg.lr or default_lr(space):g}, {prior}{noise}seed {cfg.seed}; {cfg.weights} weights "
        f"after {space.loaded.images_seen:,} images."
    )


def _images(cfg: DictConfig, loaded: PretrainedGenerator, device: torch.device) -> tuple[Tensor, list[str]]:
    """Images in [-1, 1] of the size of the samples, and their names.

    Raises:
        UserError: There are none, or one cannot be read.
    """
    raw = read_file_or_folder(cfg.images, "images")
    chosen = range(min(len(raw), cfg.count))
    channels, resolution = size_of_samples(loaded.config)
    if channels is None or resolution is None:
        raise ConfigError(f"{named(loaded.path)} does not generate images.")
    decode = Decoder(channels, resolution, cfg.fit)
    decoded = torch.stack([decode(raw, k) for k in chosen])
    return to_unit_range(decoded).to(device), [Path(raw.name(k)).name for k in chosen]


def _first_start(cfg: DictConfig, space: Space, images: Tensor, condition: Tensor | None) -> Tensor | None:
    """Points (n, ...) of the encoder; None for a start like the others.

    Raises:
        ConfigError: The encoder is asked for, and there is none.
    """
    first = None if cfg.start == "random" else encoded(space, images, condition)
    if first is None and cfg.start == "encoder":
        raise ConfigError(
            f"start=encoder needs a checkpoint of a model with an encoder, such as model=bigan; "
            f"{named(space.loaded.path)} has none: leave start out."
        )
    return first


def _loss(images: Tensor, path: Path, cfg: DictConfig) -> Callable[[Tensor], Tensor]:
    if cfg.distance == "pixels":
        return lambda samples: (samples - images).square().flatten(1).mean(1)
    discriminator = load_discriminator(path, images.device, cfg.allow_targets)
    shapes_of(discriminator, to_uint8(images[:2]))  # refuses one that needs labels or packs
    features = features_of(discriminator.network)
    with torch.no_grad():
        wanted = activations(features, images)

    def of_activations(samples: Tensor) -> Tensor:
        found = activations(features, samples)
        return torch.stack([(a - b).square().flatten(1).mean(1) for a, b in zip(found, wanted, strict=True)]).sum(0)

    return of_activations


def _random_samples(space: Space, cfg: DictConfig) -> Tensor:
    points, given = space.draw(BASELINE, mix(cfg.seed, _BASELINE), cfg.labels)
    return torch.cat([samples for samples, _ in space.chunks(points, given, 250)])


def _differences(samples: Tensor, images: Tensor) -> Tensor:
    return (samples.cpu() - images.cpu()).square().flatten(1).mean(1)


def _relative_distances(points: Tensor, known: Tensor) -> Tensor:
    return (points - known).flatten(1).norm(dim=1) / known.flatten(1).norm(dim=1)


def _nearest(samples: Tensor, images: Tensor) -> Tensor:
    return torch.stack([_differences(samples, image[None]).min() for image in images])


def _figure(space: Space, images: Tensor, samples: Tensor, found: Inversion, condition: Tensor | None) -> Image.Image:
    """A row for each image: itself, its inversion, and the samples of some steps of the first start."""
    over_time = [space.generate(points, condition).cpu() for points in found.frames]
    rows = []
    for number, (image, sample) in enumerate(zip(images.cpu(), samples.cpu(), strict=True)):
        shown = [image, sample, *(frame[number] for frame in over_time)]
        rows.append((str(number), [enlarged(each, _SIZE) for each in shown]))
    return sheet(rows, ["image", "inverted", *["over time"] * len(over_time)], _SIZE)
