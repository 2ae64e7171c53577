"""`gan-lab arithmetic`: A - B + C with latents of samples (Radford et al., 2016, section 6.3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import device_named
from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, image_grid, sheet
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.sampling.latent_sums import sum_amid_neighbors
from gan_lab.sampling.pretrained import load
from gan_lab.sampling.spaces import Space, space_named

_SIZE = 96  # pixels of an image in the figure
_BATCH = 256  # samples at a time

NOTE = (
    "The same sums of pixels are superimposed images. Arithmetic with latents is better than that if the result has "
    "the property of A and is otherwise like C; with single exemplars it is unstable."
)


@dataclass(frozen=True)
class Arithmetic:
    """A sum of latents.

    Attributes:
        points: The result amid eight neighbors, the result as the fifth, float32 (9, dim); of `to` the points of its
            samples in all steps, float32 (steps, n, dim).
        samples: Their samples, (9, ...) or (steps, n, ...).
        protocol: How they were made.
        folder: Holds the figure and `finding.json`.
    """

    points: Tensor
    samples: Tensor
    protocol: str
    folder: Path

    def __str__(self) -> str:
        return "\n".join([NOTE, f"Protocol: {self.protocol}", f"Written to {self.folder}: arithmetic.png."])


def arithmetic(cfg: DictConfig) -> Arithmetic:
    """Compute with latents by a composed `arithmetic` config; write the figure.

    Raises:
        UserError: A value or the run cannot be used.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device, cfg.allow_targets)
    space = space_named(cfg.space, loaded)
    folder = finding_folder(path, "arithmetic", cfg.out)
    numbers = sorted({*cfg.a, *cfg.b, *(cfg.c or ()), *(cfg.to or ())})
    points, condition = space.draw(numbers[-1] + 1, cfg.seed, cfg.labels)
    samples = torch.cat([chunk for chunk, _ in space.chunks(points, condition, _BATCH)])
    if samples.dim() != 4:
        raise ConfigError(f"{loaded.path} generates points: gan-lab arithmetic is for images.")
    protocol = (
        f"{space.name} of samples of seed {cfg.seed}: a={list(cfg.a)}, b={list(cfg.b)}, "
        f"{'c' if cfg.to is None else 'to'}={list(cfg.c if cfg.to is None else cfg.to)}; "
        f"{'with' if cfg.rescale else 'without'} the variance of the prior; {cfg.weights} weights after "
        f"{loaded.images_seen:,} images."
    )
    if cfg.to is None:
        found, made, figure = _sum(space, points, samples, condition, cfg)
        caption = "exemplars of A, B and C; A - B + C amid eight neighbors; the same sum of pixels"
    else:
        found, made, figure = _steps(space, points, condition, cfg)
        caption = "a row for each sample, from -(A - B) on the left to A - B on the right"
    done = Arithmetic(found, made, protocol, folder)
    finding = Finding("Arithmetic on latents", [], protocol, [NOTE], command=typed("arithmetic", cfg))
    save_finding(path, folder, finding, {"arithmetic.png": (figure, caption)})
    return done


def _sum(
    space: Space, points: Tensor, samples: Tensor, condition: Tensor | None, cfg: DictConfig
) -> tuple[Tensor, Tensor, Image.Image]:
    """The result amid its neighbors, their samples, and the figure."""
    groups = [list(numbers) for numbers in (cfg.a, cfg.b, cfg.c)]
    a, b, c = (points[numbers] for numbers in groups)
    found = sum_amid_neighbors(space, a, b, c, cfg.seed, cfg.labels, cfg.rescale, cfg.noise)
    given = _condition_of(condition, groups[2][0], len(found))
    made = space.generate(found, given).cpu()
    result = image_grid(made, 3, size=3 * _SIZE)
    first, second, third = (samples[numbers].mean(0) for numbers in groups)
    means = [
        space.generate(points[numbers].mean(0)[None], _condition_of(condition, numbers[0], 1)) for numbers in groups
    ]
    rows: list[tuple[str, Sequence[Image.Image | None]]] = []
    most = max(map(len, groups))
    for name, numbers, mean in zip("ABC", groups, means, strict=True):
        shown: list[Image.Image | None] = [enlarged(samples[number], _SIZE) for number in numbers]
        rows.append((name, [*shown, *[None] * (most - len(numbers)), enlarged(mean[0].cpu(), _SIZE)]))
    exemplars = sheet(rows, [*[""] * most, "mean"], _SIZE)
    sums = [result, enlarged(first - second + third, 3 * _SIZE)]
    return found, made, _beside(exemplars, sheet([("", sums)], ["A - B + C", "pixels"], 3 * _SIZE))


def _steps(
    space: Space, points: Tensor, condition: Tensor | None, cfg: DictConfig
) -> tuple[Tensor, Tensor, Image.Image]:
    """Points of all steps (steps, n, dim), their samples (steps, n, ...), and the figure with a row for each sample."""
    turn = points[list(cfg.a)].mean(0) - points[list(cfg.b)].mean(0)
    chosen = points[list(cfg.to)]
    times = torch.linspace(-1, 1, cfg.steps)
    found = chosen + times[:, None, None] * turn
    given = None if condition is None else condition[list(cfg.to)]
    columns = [space.generate(each, given).cpu() for each in found]
    rows = [(str(number), [enlarged(column[row], _SIZE) for column in columns]) for row, number in enumerate(cfg.to)]
    return found, torch.stack(columns), sheet(rows, [f"{time:+.2g}" for time in times.tolist()], _SIZE)


def _condition_of(condition: Tensor | None, number: int, count: int) -> Tensor | None:
    """The condition of a sample for several points."""
    return None if condition is None else condition[number : number + 1].expand(count, *condition.shape[1:])


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width, 0))
    return canvas
