"""Answers to the requests of the page: functions of a session and a JSON request, which change neither."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gan_lab.analysis.concepts import separate
from gan_lab.config.overrides import command_to_paste, override
from gan_lab.data.decode import Decoder
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.raw import RawImages
from gan_lab.errors import ConfigError, DataError
from gan_lab.explorer.requests import Request, integer, integers, mapping, number, numbers, texts
from gan_lab.explorer.session import DIRECTIONS, OTHER, SAMPLES, Generator, Session, View
from gan_lab.explorer.tiles import Tiles, image_texts, read_tiles
from gan_lab.figures import draw_samples, gif_of, png_address, to_image
from gan_lab.layers.growing import growing_networks
from gan_lab.sampling.inverting import encoded, search
from gan_lab.sampling.latent_sums import sum_amid_neighbors
from gan_lab.sampling.walks import FRAMES_PER_SECOND, walk_between

MOST = 64
"""Tiles in a request."""

_LARGEST_SEED = 2**53 - 1  # the largest whole number of JavaScript

STEPS, STARTS = 200, 2
"""Of an inversion: fewer than those of gan-lab invert, for an answer in seconds."""

MAX_UPLOAD_BYTES = 10 * 2**20
MAX_UPLOAD_PIXELS = 50_000_000

ATTENTION = (255, 90, 40)
"""RGB of attention over a sample."""

Answer = dict[str, Any]


def facts(session: Session, request: Request) -> Answer:
    """What the page must know to build its controls."""
    directions = session.directions
    return {
        "run": str(session.first.run),
        "images_seen": session.first.loaded.images_seen,
        "space": session.first.space.name,
        "classes": session.choices,
        "directions": 0 if directions is None else len(directions.vectors),
        "method": session.method,
        "resolution": session.resolution,
        "seed": session.seed,
        "count": session.count,
        "most": MOST,
        "largest_upload": MAX_UPLOAD_BYTES,
        "other": str(session.generators[OTHER].run) if OTHER in session.generators else None,
        "generators": {name: _abilities(name, shown) for name, shown in session.generators.items()},
    }


def _abilities(name: str, shown: Generator) -> Answer:
    stages = growing_networks(shown.loaded.generator)
    return {
        "name": f"{name}, {shown.run.name}" if name == OTHER else name,
        "layer": None if shown.layer is None else str(shown.layer),
        "attention": shown.attention,
        "resolutions": [*shown.resolutions, stages[0].stage.resolution] if shown.resolutions else [],
        "averaged": shown.averaged,
        "styles": list(shown.styles),
    }


def sample(session: Session, request: Request) -> Answer:
    """Samples of a seed, those of `gan-lab sample`; with the same seed all generators have the same latents.

    With `second` and `fraction` they have a mixture of two classes.
    """
    view = _view(session, request)
    count, seed, label = integer(request, "count", 1, MOST), _seed(request), _label(session, request)
    truncation, mixed = _truncation(request), _mixture(session, request, view, label)
    points, condition = session.draw(view.name, count, seed, label, truncation, mixed)
    answer = _shown(session, Tiles(points, condition), view)
    if mixed is not None:
        return answer | {"command": None}
    settings = {"count": count, "seed": seed} | _label_key(session, label) | _truncation_key(truncation)
    return answer | {"command": _command(session, "sample", settings, view)}


def show(session: Session, request: Request) -> Answer:
    """Tiles in another view."""
    view, tiles = _view(session, request), _tiles(session, request, "tiles")
    return _shown(session, tiles, view) | {"command": _command_of_directions(session, view)}


def walk(session: Session, request: Request) -> Answer:
    """Samples between two tiles, see `walk_between`.

    The condition is that of the nearer tile, or with `mixed` a mixture of both classes. If both tiles are samples of
    one seed, `numbers` has their numbers, for the command.
    """
    view, tiles = _view(session, request), _two_pins(session, request)
    steps, shown = integer(request, "steps", 2, 32), session.generators[view.name]
    times = torch.linspace(0, 1, steps)
    points = walk_between(shown.space, tiles.points[0], tiles.points[1], times)
    condition, command = None, None
    if request.get("mixed") is True and tiles.condition is not None:
        if not shown.averaged:
            raise ConfigError("This generator takes no mixtures of classes.")
        first, second = session.weights_of(tiles.condition)
        condition = torch.lerp(first, second, times[:, None])
    elif tiles.condition is not None:
        condition = tiles.condition[(times >= 0.5).long()]
    same = tiles.condition is None or torch.equal(tiles.condition[0], tiles.condition[1])
    if request.get("numbers") is not None and (same or (request.get("mixed") is True) == bool(shown.averaged)):
        first_number, last_number = integers(request, "numbers", 0, MOST - 1, 2)
        seconds = 2 * (steps - 1) / FRAMES_PER_SECOND
        settings = {
            "from": first_number,
            "to": last_number,
            "seconds": seconds,
            "fps": FRAMES_PER_SECOND,
            "seed": _seed(request),
        }
        settings |= _label_key(session, _label(session, request)) | _truncation_key(_truncation(request))
        command = _command(session, "interpolate", settings, view)
    return _shown(session, Tiles(points, condition), view) | {"command": command}


def animate(session: Session, request: Request) -> Answer:
    """The tiles of a walk as a GIF that goes forth and back."""
    view, tiles = _view(session, request), _tiles(session, request, "tiles")
    images = session.images(tiles.points, tiles.condition, view)
    frames = [draw_samples(image[None]) for image in torch.cat([images, images[1:-1].flip(0)])]
    gif = base64.b64encode(gif_of(frames, FRAMES_PER_SECOND)).decode()
    return {"gif": f"data:image/gif;base64,{gif}"}


def mix(session: Session, request: Request) -> Answer:
    """Samples of two tiles, each with some layers' styles of the other: a row for each, a column for each name."""
    view, tiles = _view(session, request), _two_pins(session, request)
    shown = session.generators[view.name]
    if not shown.styles:
        raise ConfigError("Only styles can be mixed, and these points are none.")
    styles = tiles.points if tiles.points.dim() == 3 else tiles.points[:, None].repeat(1, shown.layers, 1)
    mixed = []
    for base, source in (styles, styles.flip(0)):
        for layers in shown.styles.values():
            mixed.append(base.clone())
            mixed[-1][layers] = source[layers]
    condition = None if tiles.condition is None else tiles.condition.repeat_interleave(len(shown.styles), 0)
    return _shown(session, Tiles(torch.stack(mixed), condition), view) | {"command": None}


def attention(session: Session, request: Request) -> Answer:
    """Where a position of a tile's sample attends to: a transparent image, brightest where most, and numbers."""
    view, tiles = _view(session, request), _tiles(session, request, "tiles")
    x, y = numbers(request, "at", 2, 0, 1)
    size = session.generators[view.name].attention
    if size is None or len(tiles.points) != 1:
        raise ConfigError("Attention is shown for one sample of a generator with an attention layer.")
    pixel = min(int(y * size[0]), size[0] - 1), min(int(x * size[1]), size[1] - 1)
    found, gamma = session.attention(tiles.points, tiles.condition, view, pixel)
    color = torch.tensor(ATTENTION)[:, None, None].expand(3, *found.shape)
    image = torch.cat([color, 230 * (found / found.max())[None]]).round().to(torch.uint8)
    largest = found.max().item() * found.numel()
    return {"image": png_address(to_image(image)), "pixel": pixel, "largest": largest, "gamma": gamma}


def combine(session: Session, request: Request) -> Answer:
    """A - B + C amid eight neighbors, with the condition of the first of C.

    If all exemplars are samples of one seed, `numbers` has their numbers, for the command.
    """
    view = _view(session, request)
    a, b, c = (_tiles(session, request, key) for key in "abc")
    seed, label = _seed(request), _label(session, request)
    space = session.generators[view.name].space
    points = sum_amid_neighbors(space, a.points, b.points, c.points, seed, label)
    condition = None if c.condition is None else c.condition[:1].expand(len(points), *c.condition.shape[1:])
    command = None
    if request.get("numbers") is not None and space.loaded.condition.num_generators is None:
        given = mapping(request, "numbers")
        chosen = {key: integers(given, key, 0, MOST - 1, MOST) for key in "abc"}
        command = _command(session, "arithmetic", chosen | {"seed": seed} | _label_key(session, label), view)
    return _shown(session, Tiles(points, condition), view) | {"command": command}


def forget(session: Session, request: Request) -> Answer:
    """Maps by weight in a regression that separates the boxed parts of tiles from the others.

    The boxes are [number of the tile, left, top, right, bottom] in pixels. The last quarter of the boxed tiles, with
    all tiles from the first of them on, is held out. `seed` is given if the tiles are its samples, for the command.
    """
    view, tiles = _view(session, request), _tiles(session, request, "tiles")
    boxes = _boxes(session, request, len(tiles.points))
    boxed = sorted({box[0] for box in boxes})
    if len(boxed) < 2:
        raise ConfigError("Draw boxes on at least two samples: one of them tests what was found.")
    masks = torch.zeros(len(tiles.points), session.resolution, session.resolution, dtype=torch.bool)
    for place, left, top, right, bottom in boxes:
        masks[place, top:bottom, left:right] = True
    held_out = len(masks) - boxed[-max(1, len(boxed) // 4)]
    seed = None if request.get("seed") is None else _seed(request)
    try:
        maps = session.maps(tiles.points, tiles.condition, view.name)
        found = separate(maps, masks, held_out, seed=seed or 0)
    except ValueError as error:
        raise ConfigError(
            "The boxes cover no cell of the maps, or all of them: draw them larger or smaller."
        ) from error
    settings = {"concept.boxes": "boxes.csv", "samples": len(masks), "held_out": held_out, "seed": seed}
    layer = session.generators[view.name].layer
    settings |= {} if layer is None else {"layer": layer.number}
    plain = replace(view, dropped=[], resolution=None)  # of neither depends which maps are found
    command = None if seed is None else _command(session, "forget", settings, plain)
    lines = ["sample,left,top,right,bottom", *(",".join(map(str, box)) for box in boxes)]
    return {
        "order": found.order.tolist(), "auc": found.auc, "positive": int((found.weight > 0).sum()), "command": command,
        "csv": "\n".join(lines) + "\n",
    }  # fmt: skip


def invert(session: Session, request: Request) -> Answer:
    """A tile whose sample is nearest to an uploaded image, base64, by the mean squared difference of pixels."""
    view, label = _view(session, request), _label(session, request)
    space = session.generators[view.name].space
    image = _uploaded(session, request)[None].to(space.loaded.device)
    condition = space.draw(1, 0, label)[1]
    given = None if condition is None else condition.to(image.device)
    first = encoded(space, image, condition)
    found = search(
        space, lambda samples: (samples - image).square().flatten(1).mean(1), 1, given, STEPS, STARTS, frames=1,
        first=first,
    )  # fmt: skip
    settings: Answer = {"images": _name(request), "steps": STEPS, "starts": STARTS} | _label_key(session, label)
    command = None
    if space.loaded.condition.num_generators is None:
        command = _command(session, "invert", settings, replace(view, dropped=[], resolution=None))
    plain = replace(view, amounts=torch.zeros_like(view.amounts))
    return _shown(session, Tiles(found.points, condition), plain) | {
        "difference": found.errors.item(), "given": image_texts(image)[0], "command": command,
    }  # fmt: skip


ACTIONS: dict[str, Callable[[Session, Request], Answer]] = {
    "facts": facts, "sample": sample, "show": show, "walk": walk, "animate": animate, "mix": mix,
    "attention": attention, "combine": combine, "forget": forget, "invert": invert,
}  # fmt: skip
"""Functions by the last part of their address."""


def _shown(session: Session, tiles: Tiles, view: View) -> Answer:
    """The tiles, the edited ones, and their images."""
    edited = Tiles(session.edited(tiles.points, view), tiles.condition)
    images = image_texts(session.images(edited.points, tiles.condition, view))
    return {"tiles": tiles.texts(), "edited": edited.texts(), "images": images}


def _view(session: Session, request: Request) -> View:
    given = mapping(request, "view")
    name = given.get("weights")
    if not isinstance(name, str) or name not in session.generators:
        raise ConfigError(f"weights must be one of {', '.join(session.generators)}.")
    shown = session.generators[name]
    count = 0 if session.directions is None else len(session.directions.vectors)
    amounts = torch.tensor(numbers(given, "amounts", count, -20, 20))
    maps = 0 if shown.layer is None else shown.layer.channels
    resolution = given.get("resolution")
    if resolution is not None and resolution not in list(shown.resolutions):
        raise ConfigError(f"resolution must be one of {', '.join(map(str, shown.resolutions))}, or left out.")
    return View(name, amounts, integers(given, "dropped", 0, maps - 1, maps), resolution)


def _tiles(session: Session, request: Request, key: str) -> Tiles:
    shown = session.generators[_view(session, request).name]
    like = Tiles(*shown.space.draw(1))
    labels = len(session.choices or ())
    return read_tiles(texts(request, key, MOST), like, labels, bool(shown.averaged), shown.layers)


def _two_pins(session: Session, request: Request) -> Tiles:
    tiles = _tiles(session, request, "tiles")
    if len(tiles.points) != 2:
        raise ConfigError("This needs two pinned samples.")
    return tiles


def _seed(request: Request) -> int:
    return integer(request, "seed", -_LARGEST_SEED, _LARGEST_SEED)


def _label(session: Session, request: Request) -> int | None:
    if request.get("label") is None:
        return None
    if session.choices is None:
        raise ConfigError("This generator has no classes.")
    return integer(request, "label", 0, len(session.choices) - 1)


def _label_key(session: Session, label: int | None) -> Answer:
    key = "generator" if session.first.loaded.condition.num_generators else "labels"
    return {} if label is None else {key: label}


def _mixture(session: Session, request: Request, view: View, label: int | None) -> Tensor | None:
    """Weights of the classes; None without a second class."""
    second = _label(session, {"label": request.get("second")})
    if second is None:
        return None
    if label is None or not session.generators[view.name].averaged:
        raise ConfigError("A mixture needs two classes, and a generator that takes mixtures.")
    return session.mixture(label, second, number(request, "fraction", 0, 1))


def _truncation(request: Request) -> float | None:
    return None if request.get("truncation") is None else number(request, "truncation", 0, 10)


def _truncation_key(truncation: float | None) -> Answer:
    return {} if truncation is None else {"truncation": truncation}


def _boxes(session: Session, request: Request, count: int) -> list[list[int]]:
    given = request.get("boxes")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST:
        raise ConfigError("Draw boxes on samples first.")
    boxes = []
    for box in given:
        values = [int(value) for value in numbers({"box": box}, "box", 5, 0, max(count, session.resolution))]
        place, left, top, right, bottom = values
        if not (place < count and left < right <= session.resolution and top < bottom <= session.resolution):
            raise ConfigError("A box is empty, or not inside a sample.")
        boxes.append(values)
    return boxes


def _uploaded(session: Session, request: Request) -> Tensor:
    """The image in [-1, 1] at the size of the samples.

    Raises:
        UserError: It is not an image, or too large.
    """
    text = request.get("image")
    try:
        encoded = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("The upload is damaged; try again.") from error
    if len(encoded) > MAX_UPLOAD_BYTES:
        raise DataError(f"The upload has more than {MAX_UPLOAD_BYTES >> 20} MiB; choose a smaller image.")
    raw = RawImages([encoded], ["The upload"])
    header = raw.headers(1)[0]
    if header is not None and header.size[0] * header.size[1] > MAX_UPLOAD_PIXELS:
        raise DataError(f"The upload has more than {MAX_UPLOAD_PIXELS:,} pixels; choose a smaller image.")
    return to_unit_range(Decoder(session.channels, session.resolution)(raw, 0))


def _name(request: Request) -> str:
    """Name of the uploaded file, for the command only."""
    name = request.get("name")
    return name[:200] if isinstance(name, str) and name.isprintable() and name else "image.png"


def _command_of_directions(session: Session, view: View) -> str | None:
    """The command that draws the directions of the sliders; None if all are at zero, or they are from a file."""
    if not view.amounts.any() or session.method not in ("pca", "sefa"):
        return None
    settings = {"method": session.method, "samples": SAMPLES, "directions": DIRECTIONS, "seed": session.seed}
    return _command(session, "directions", settings, view)


def _command(session: Session, name: str, settings: Answer, view: View) -> str | None:
    """A shell command; None for a view that no command has, without some maps or at a lower resolution."""
    if view.dropped or view.resolution is not None:
        return None
    shown = session.generators[view.name]
    places = {"run": str(shown.run)} | ({"space": shown.space.name} if name not in ("sample", "forget") else {})
    given = places | settings | {"weights": shown.weights}
    return command_to_paste(["gan-lab", name, *(override(key, value) for key, value in given.items())])
