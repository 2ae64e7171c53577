"""A walk through the latents of a checkpoint, as an animation."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from gan_lab.config.checks import Rule, check_rules
from gan_lab.config.inputs import device_named, run_named
from gan_lab.config.load import Loaded, load
from gan_lab.config.sampling import spread
from gan_lab.errors import ConfigError
from gan_lab.noise import Noise, mix
from gan_lab.pictures import image_grid

RULES = (
    Rule("count", lambda v: v >= 1, "at least 1"),
    Rule("columns", lambda v: v is None or v >= 1, "at least 1, or null for a square"),
    Rule("seconds", lambda v: v > 0, "greater than 0"),
    Rule("fps", lambda v: 1 <= v <= 100, "from 1 to 100"),
    Rule("smoothing", lambda v: v >= 0, "at least 0"),
)

Writer = Callable[[Path, Iterator[Image.Image], float], None]
"""Writes frames, so many in a second, to a file."""

_PATH = 0x50415448
"""Key of the walks; any number will do, so long as it stays the same."""

_PALETTE = 16  # frames that the colours of a GIF are chosen from


def interpolate(cfg: DictConfig) -> str:
    """Write the animation that a composed `interpolate` config describes.

    Returns:
        What to print.

    Raises:
        UserError: A value, the run or the file cannot be used.
    """
    check_rules(cfg, RULES)
    path = run_named(cfg.run)
    loaded = load(path, cfg.weights, device_named(cfg.device)).adjusted(cfg.truncation, cfg.truncation_form)
    folder = path if path.is_dir() else path.parent
    file = Path(cfg.out) if cfg.out is not None else folder / "samples" / f"walk_seed_{cfg.seed}.gif"
    write = _writer(file)
    frames = max(2, round(cfg.seconds * cfg.fps))
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, _drawn(loaded, cfg, frames), cfg.fps)
    return f"{frames} frames of {cfg.count} samples of {loaded.path} after {loaded.images_seen:,} images, {cfg.weights} weights: {file}"


def _drawn(loaded: Loaded, cfg: DictConfig, frames: int) -> Iterator[Image.Image]:
    """A grid for each point of the walks; the labels stay."""
    labels = spread(cfg.labels, cfg.count, loaded.labels.num_classes)
    _, given = loaded.draw(cfg.count, cfg.seed, labels)
    noise = Noise(mix(cfg.seed, _PATH), cfg.count)
    for latents in loaded.latent.closed_path(noise, frames, cfg.smoothing * cfg.fps):
        samples = loaded.generate(latents, given).cpu()
        if samples.dim() != 4:
            raise ConfigError(f"{loaded.path} draws points: gan-lab interpolate is for images.")
        yield image_grid(samples, cfg.columns)


def _writer(file: Path) -> Writer:
    """The function that writes files of this kind.

    Raises:
        ConfigError: There is none, or its encoder is not installed.
    """
    if file.suffix.lower() == ".gif":
        return _write_gif
    if file.suffix.lower() != ".mp4":
        raise ConfigError(f"out={file} is not allowed: the name must end in .gif or .mp4.")
    if find_spec("imageio_ffmpeg") is None:
        raise ConfigError(f"out={file} needs an encoder: pip install imageio-ffmpeg, or give a name that ends in .gif.")
    return _write_mp4


def _write_gif(file: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """An endless animation. All frames have the same colours, so that what stands still does not flicker."""
    pictures = [frame.convert("RGB") for frame in frames]
    some = pictures[:: -(-len(pictures) // _PALETTE)]
    width, height = some[0].size
    together = Image.new("RGB", (width, height * len(some)))
    for k, picture in enumerate(some):
        together.paste(picture, (0, k * height))
    palette = together.quantize(256)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=1000 / fps, loop=0)


def _write_mp4(file: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """H.264 with the colours that every player knows, for which sides must be even."""
    import imageio_ffmpeg

    first = next(frames).convert("RGB")
    width, height = (side // 2 * 2 for side in first.size)
    writer = imageio_ffmpeg.write_frames(str(file), (width, height), fps=fps, macro_block_size=2, quality=8)
    writer.send(None)
    for frame in (first, *frames):
        writer.send(np.ascontiguousarray(frame.convert("RGB").crop((0, 0, width, height))))
    writer.close()
