"""Answers to the requests of the page: functions of a session and a JSON request, which change neither."""

import base64
import binascii
from collections.abc import Callable
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
from gan_lab.explorer.session import DIRECTIONS, SAMPLES, Session, View
from gan_lab.explorer.tiles import Tiles, image_texts, read_tiles
from gan_lab.sampling.inverting import search
from gan_lab.sampling.latent_sums import sum_amid_neighbors

MOST = 64
"""Tiles in a request."""

_LARGEST_SEED = 2**53 - 1  # the largest whole number of JavaScript

STEPS, STARTS = 200, 2
"""Of an inversion: fewer than those of gan-lab invert, for an answer in seconds."""

MAX_UPLOAD_BYTES = 10 * 2**20
MAX_UPLOAD_PIXELS = 50_000_000

Answer = dict[str, Any]


def facts(session: Session, request: Request) -> Answer:
    """What the page must know to build its controls."""
    loaded, directions = session.loaded, session.directions
    return {
        "run": str(session.run),
        "images_seen": loaded.images_seen,
        "weights": list(session.spaces),
        "space": next(iter(session.spaces.values())).name,
        "classes": session.choices,
        "directions": 0 if directions is None else len(directions.vectors),
        "method": session.method,
        "layer": None if session.layer is None else str(session.layer),
        "resolution": session.resolution,
        "seed": session.seed,
        "most": MOST,
    }


def sample(session: Session, request: Request) -> Answer:
    """Samples of a seed, those of `gan-lab sample`; with the same seed both weights have the same latents."""
    view = _view(session, request)
    count, seed, label = integer(request, "count", 1, MOST), _seed(request), _label(session, request)
    truncation = None if request.get("truncation") is None else number(request, "truncation", 0, 10)
    points, condition = session.space(view.weights, truncation).draw(count, seed, label)
    settings: Answer = {"count": count, "seed": seed} | _label_key(session, label)
    if truncation is not None:
        settings["truncation"] = truncation
    return _shown(session, Tiles(points, condition), view) | {
        "command": _command(session, "sample", settings | {"weights": view.weights})
    }


def show(session: Session, request: Request) -> Answer:
    """Tiles in another view."""
    view, tiles = _view(session, request), _tiles(session, request, "tiles")
    return _shown(session, tiles, view) | {"command": _command_of_directions(session, view)}


def walk(session: Session, request: Request) -> Answer:
    """Samples at equal distances on the line between two tiles; the condition is that of the nearer one."""
    view, tiles = _view(session, request), _tiles(session, request, "tiles")
    if len(tiles.points) != 2:
        raise ConfigError("A walk needs two pinned samples.")
    times = torch.linspace(0, 1, integer(request, "steps", 2, 32))
    points = torch.lerp(tiles.points[0], tiles.points[1], times[:, None])
    condition = None if tiles.condition is None else tiles.condition[(times >= 0.5).long()]
    return _shown(session, Tiles(points, condition), view)


def combine(session: Session, request: Request) -> Answer:
    """A - B + C amid eight neighbors, with the condition of the first of C.

    If all exemplars are samples of one seed, `numbers` has their numbers, for the command.
    """
    view = _view(session, request)
    a, b, c = (_tiles(session, request, key) for key in "abc")
    seed, label = _seed(request), _label(session, request)
    points = sum_amid_neighbors(session.spaces[view.weights], a.points, b.points, c.points, seed, label)
    condition = None if c.condition is None else c.condition[:1].expand(len(points), *c.condition.shape[1:])
    command = None
    if request.get("numbers") is not None and session.loaded.condition.num_generators is None:
        given = mapping(request, "numbers")
        chosen = {key: integers(given, key, 0, MOST - 1, MOST) for key in "abc"}
        settings = chosen | {"seed": seed} | _label_key(session, label) | {"weights": view.weights}
        command = _command(session, "arithmetic", settings)
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
        maps = session.maps(tiles.points, tiles.condition, view.weights)
        found = separate(maps, masks, held_out, seed=seed or 0)
    except ValueError as error:
        raise ConfigError(
            "The boxes cover no cell of the maps, or all of them: draw them larger or smaller."
        ) from error
    settings = {"concept.boxes": "boxes.csv", "samples": len(masks), "held_out": held_out, "seed": seed}
    settings |= {} if session.layer is None else {"layer": session.layer.number}
    command = None if seed is None else _command(session, "forget", settings | {"weights": view.weights})
    lines = ["sample,left,top,right,bottom", *(",".join(map(str, box)) for box in boxes)]
    return {
        "order": found.order.tolist(), "auc": found.auc, "positive": int((found.weight > 0).sum()), "command": command,
        "csv": "\n".join(lines) + "\n",
    }  # fmt: skip


def invert(session: Session, request: Request) -> Answer:
    """A tile whose sample is nearest to an uploaded image, base64, by the mean squared difference of pixels."""
    view, label = _view(session, request), _label(session, request)
    image = _uploaded(session, request)[None].to(session.loaded.device)
    space = session.spaces[view.weights]
    condition = space.draw(1, 0, label)[1]
    given = None if condition is None else condition.to(image.device)
    found = search(
        space, lambda samples: (samples - image).square().flatten(1).mean(1), 1, given, STEPS, STARTS, frames=1
    )
    settings: Answer = {"images": _name(request), "steps": STEPS, "starts": STARTS} | _label_key(session, label)
    command = None
    if session.loaded.condition.num_generators is None:
        command = _command(session, "invert", settings | {"weights": view.weights})
    plain = View(view.weights, torch.zeros_like(view.amounts), view.dropped)
    return _shown(session, Tiles(found.points, condition), plain) | {
        "difference": found.errors.item(), "given": image_texts(image)[0], "command": command,
    }  # fmt: skip


ACTIONS: dict[str, Callable[[Session, Request], Answer]] = {
    "facts": facts, "sample": sample, "show": show, "walk": walk, "combine": combine, "forget": forget,
    "invert": invert,
}  # fmt: skip
"""Functions by the last part of their address."""


def _shown(session: Session, tiles: Tiles, view: View) -> Answer:
    """The tiles, the edited ones, and their images."""
    edited = Tiles(session.edited(tiles.points, view), tiles.condition)
    images = image_texts(session.images(edited.points, tiles.condition, view))
    return {"tiles": tiles.texts(), "edited": edited.texts(), "images": images}


def _view(session: Session, request: Request) -> View:
    given = mapping(request, "view")
    weights = given.get("weights")
    if weights not in session.spaces:
        raise ConfigError(f"weights must be one of {', '.join(session.spaces)}.")
    count = 0 if session.directions is None else len(session.directions.vectors)
    amounts = torch.tensor(numbers(given, "amounts", count, -20, 20))
    maps = 0 if session.layer is None else session.layer.channels
    return View(weights, amounts, integers(given, "dropped", 0, maps - 1, maps))


def _tiles(session: Session, request: Request, key: str) -> Tiles:
    like = Tiles(*next(iter(session.spaces.values())).draw(1))
    tiles = read_tiles(texts(request, key, MOST), like)
    labels, choices = tiles.condition, session.choices
    if labels is not None and choices is not None and not ((labels >= 0) & (labels < len(choices))).all():
        raise ConfigError("A tile is of another generator; reload the page.")
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
    key = "generator" if session.loaded.condition.num_generators else "labels"
    return {} if label is None else {key: label}


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
    return _command(session, "directions", settings | {"weights": view.weights})


def _command(session: Session, name: str, settings: Answer) -> str:
    """A shell command."""
    space = next(iter(session.spaces.values())).name
    places = {"run": str(session.run)} | ({"space": space} if name not in ("sample", "forget") else {})
    return command_to_paste(["gan-lab", name, *(override(key, value) for key, value in (places | settings).items())])
