"""Answers of the explorer without a browser: they equal what the commands make."""

import base64
import copy
import io
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops, ImageStat
from safetensors.torch import load as deserialized
from safetensors.torch import save as serialized

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.explorer.answers import ACTIONS, Answer
from gan_lab.explorer.session import Session, first_count, open_session
from gan_lab.training.fit import fit
from tests.conftest import SMALL
from tests.helpers.generators import write_generator

CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {
    "weights": "ema", "space": None, "directions": None, "method": "sefa", "layer": None, "seed": 0, "device": CPU,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explore") / "run"
    small = ("model=cgan", "architecture=dcgan", "dataset.resolution=16", "latent.dim=4", "latent.distribution=normal")
    fit(compose(*SMALL, *small, "averaging.rampup=null", f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def session(run: Path) -> Session:
    return open_session(run, **OPTIONS)


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("explore") / "styles"
    fit(compose(*SMALL, "model=stylegan2", "latent.dim=8", "dataset.resolution=16", f"run.dir={folder}"))
    return open_session(folder, **(OPTIONS | {"method": "pca"}))


def view(session: Session, amounts: dict[int, float] | None = None, **settings: Any) -> dict[str, Any]:
    assert session.directions is not None
    found = [0.0] * len(session.directions.vectors)
    for number, amount in (amounts or {}).items():
        found[number] = amount
    return {"weights": "ema", "amounts": found, "dropped": []} | settings


def asked(session: Session, action: str, **request: Any) -> Answer:
    return ACTIONS[action](session, {"view": view(session)} | request)


def samples(session: Session, **request: Any) -> Answer:
    return asked(session, "sample", **({"seed": 3, "count": 6, "label": None, "truncation": None} | request))


def pixels(address: str) -> torch.Tensor:
    """The pixels of an image of the page, without its enlargement."""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        data = torch.tensor(bytearray(image.tobytes()), dtype=torch.uint8)
        return data.view(image.height, image.width, -1)[:: image.height // 16, :: image.width // 16].permute(2, 0, 1)


def point(tile: str) -> torch.Tensor:
    return deserialized(base64.b64decode(tile))["point"]


def options_of(command: str) -> list[str]:
    program, _, *overrides = shlex.split(command)
    assert program == "gan-lab"
    return overrides


def assert_shows(images: list[str], wanted: torch.Tensor) -> None:
    found = torch.stack(list(map(pixels, images))).float() / 127.5 - 1
    assert (found - wanted).abs().max() <= 1 / 127


def test_a_slow_generator_shows_fewer_samples_at_first(session: Session):
    assert [first_count(seconds) for seconds in (0.001, 0.03, 0.04, 0.06, 0.1, 9)] == [16, 16, 9, 4, 4, 4]
    assert ACTIONS["facts"](session, {})["count"] == session.count


@pytest.mark.parametrize("settings", [{}, {"label": 7}, {"truncation": 0.5}, {"seed": -4, "weights": "raw"}])
def test_samples_are_those_of_their_command(session: Session, settings: dict[str, Any], tmp_path: Path) -> None:
    weights = {"weights": settings.pop("weights", "ema")}
    answer = samples(session, **settings, view=view(session) | weights)
    files = gan_lab.sample(options_of(answer["command"]), out=str(tmp_path / "out"), device="cpu")
    assert files.weights == weights["weights"] and len(answer["images"]) == 6
    assert_shows(answer["images"], files.samples)


def test_styles_are_truncated_as_by_the_command(styles: Session, tmp_path: Path) -> None:
    answer = samples(styles, truncation=0.5)
    files = gan_lab.sample(options_of(answer["command"]), out=str(tmp_path / "out"), device="cpu")
    assert_shows(answer["images"], files.samples)


def test_the_same_request_has_the_same_answer_and_changes_no_network(session: Session) -> None:
    before = copy.deepcopy(session.first.loaded.generator.state_dict())
    first = samples(session)
    asked(session, "show", tiles=first["tiles"], view=view(session, {0: 2.0}, dropped=[0, 1]))
    assert samples(session) == first
    after = session.first.loaded.generator.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_both_weights_have_the_same_latents(session: Session) -> None:
    first, other = samples(session), samples(session, view=view(session, weights="raw"))
    assert first["tiles"] == other["tiles"] and first["images"] != other["images"]


def test_sliders_shift_points_by_deviations(session: Session) -> None:
    tiles, found = samples(session)["tiles"], session.directions
    assert found is not None
    answer = asked(session, "show", tiles=tiles, view=view(session, {1: -1.5}))
    assert torch.allclose(point(answer["edited"][0]), point(tiles[0]) - 1.5 * found.deviations[1] * found.vectors[1])
    assert answer["tiles"] == tiles and options_of(answer["command"])
    assert asked(session, "show", tiles=tiles)["command"] is None


def test_a_walk_ends_at_its_tiles(session: Session) -> None:
    first = samples(session)
    answer = asked(session, "walk", tiles=[first["tiles"][1], first["tiles"][4]], steps=5)
    assert [answer["images"][0], answer["images"][-1]] == [first["images"][1], first["images"][4]]
    with pytest.raises(UserError, match="two pinned"):
        asked(session, "walk", tiles=first["tiles"][:1], steps=5)


def test_a_walk_and_its_animation_are_those_of_the_command(session: Session, tmp_path: Path) -> None:
    first = samples(session, label=2)
    pins = [first["tiles"][1], first["tiles"][4]]
    answer = asked(session, "walk", tiles=pins, steps=4, numbers=[1, 4], seed=3, label=2, truncation=None)
    made = gan_lab.interpolate(options_of(answer["command"]), out=str(tmp_path / "walk.gif"), device="cpu")
    gif = asked(session, "animate", tiles=answer["edited"])["gif"].partition(",")[2]
    assert made.frames == 6
    with Image.open(made.file) as wanted, Image.open(io.BytesIO(base64.b64decode(gif))) as found:
        assert wanted.info["duration"] == found.info["duration"] and wanted.n_frames == found.n_frames
        for k in range(wanted.n_frames):
            wanted.seek(k)
            found.seek(k)
            difference = ImageChops.difference(wanted.convert("L"), found.convert("L"))
            assert ImageStat.Stat(difference).mean[0] < 2  # of 255: both have palettes of their own
    changed = view(session, dropped=[0])
    request = {"tiles": pins, "steps": 4, "numbers": [1, 4], "seed": 3}
    assert asked(session, "walk", **request, view=changed)["command"] is None
    assert asked(session, "walk", tiles=pins, steps=4)["command"] is None


def condition(tile: str) -> torch.Tensor:
    return deserialized(base64.b64decode(tile))["condition"]


def test_classes_are_mixed_by_their_weights(session: Session) -> None:
    assert asked(session, "facts")["generators"]["ema"]["averaged"] == ["one-hot vectors"]
    two, seven = samples(session, label=2), samples(session, label=7)
    for fraction, wanted in ((0, two), (1, seven)):
        assert samples(session, label=2, second=7, fraction=fraction)["images"] == wanted["images"]
    half = samples(session, label=2, second=7, fraction=0.25)
    assert half["images"] not in (two["images"], seven["images"]) and half["command"] is None
    weights = torch.zeros(10)
    weights[[2, 7]] = torch.tensor([0.75, 0.25])
    assert torch.equal(condition(half["tiles"][0]), weights)
    assert asked(session, "show", tiles=[two["tiles"][0], half["tiles"][1]])["images"] == [
        two["images"][0],
        half["images"][1],
    ]
    walk = asked(session, "walk", tiles=[two["tiles"][0], seven["tiles"][0]], steps=5, mixed=True)
    assert walk["images"][1] == half["images"][0] and walk["images"][4] == seven["images"][0]


def test_styles_are_mixed_in_groups_of_layers(styles: Session) -> None:
    generator = styles.first
    assert asked(styles, "facts")["generators"]["ema"]["styles"] == ["coarse", "middle"]
    first = samples(styles)
    answer = asked(styles, "mix", tiles=first["tiles"][:2])
    assert len(answer["images"]) == 4
    w = torch.stack([point(tile) for tile in first["tiles"][:2]])
    mixed = w[[0, 0, 0, 1, 1, 1]]  # the middle layers, from 3 on, of the second sample
    assert torch.equal(point(answer["tiles"][1]), mixed)
    assert_shows(answer["images"][1:2], generator.loaded.generate_from_styles(mixed[None]))
    again = asked(styles, "show", tiles=[answer["tiles"][1], first["tiles"][3]])
    assert again["images"] == [answer["images"][1], first["images"][3]]
    sums = {key: [answer["tiles"][k]] for k, key in enumerate("abc")}
    assert len(asked(styles, "combine", seed=0, label=None, **sums)["images"]) == 9


def untrained(folder: Path, *overrides: str, seed: int = 0) -> Path:
    return write_generator(folder / f"generator_{seed}.safetensors", "dataset=digits", *overrides, seed=seed)


@pytest.fixture(scope="module")
def attending(tmp_path_factory: pytest.TempPathFactory) -> Session:
    overrides = ("model=sagan", "dataset.resolution=32", "latent.dim=8", "conditioning=none")
    return open_session(untrained(tmp_path_factory.mktemp("attending"), *overrides), **OPTIONS)


def test_attention_is_that_of_the_generator(attending: Session) -> None:
    known = asked(attending, "facts")["generators"]["ema"]
    assert list(known["attention"]) == [8, 8] and known["averaged"] == [] == known["styles"]
    tile = samples(attending)["tiles"][2]
    answer = asked(attending, "attention", tiles=[tile], at=[0.3, 0.99])
    assert answer["pixel"] == (7, 2)
    wanted = attending.first.loaded.attention((7, 2), 6, seed=3)[2]
    assert answer["largest"] == pytest.approx(wanted.max().item() * wanted.numel(), rel=1e-4)
    with Image.open(io.BytesIO(base64.b64decode(answer["image"].partition(",")[2]))) as image:
        alpha = torch.tensor(bytearray(image.getchannel("A").tobytes())).view(image.height, image.width)
    assert torch.allclose(alpha.float(), 230 * wanted / wanted.max(), atol=0.51)


def test_lower_resolutions_of_a_network_that_grows(tmp_path: Path) -> None:
    file = untrained(tmp_path, "model=pggan", "dataset.resolution=16", "latent.dim=8")
    growing = open_session(file, **(OPTIONS | {"method": "pca"}))
    assert asked(growing, "facts")["generators"]["ema"]["resolutions"] == [4, 8, 16]
    first = samples(growing)
    small = samples(growing, view=view(growing, resolution=8))
    blocks = pixels(small["images"][0]).float()
    assert torch.equal(blocks, blocks[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert small["images"] != first["images"] and small["tiles"] == first["tiles"] and small["command"] is None
    assert samples(growing) == first
    with pytest.raises(UserError, match="resolution must be one of 4, 8, or left out"):
        samples(growing, view=view(growing, resolution=16))


def test_another_run_with_the_same_latents(run: Path, session: Session, tmp_path: Path) -> None:
    other = gan_lab.export(run, weights="raw", out=str(tmp_path / "other.safetensors")).file
    compared = open_session(run, **(OPTIONS | {"weights": "raw", "other": other}))
    known = asked(compared, "facts")
    assert list(known["generators"]) == ["raw", "ema", "other"] and known["other"] == str(other)
    raw, same = (samples(compared, view=view(compared, weights=name)) for name in ("raw", "other"))
    assert raw["images"] == same["images"] and raw["tiles"] == same["tiles"]
    assert f"run={other}" in options_of(same["command"]) and "weights=raw" in options_of(same["command"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("latent.dim=5",), "other=.*has 5 normal latents, but .*has 8 normal latents: give a run with the same"),
        (("latent.distribution=uniform",), "has 8 uniform latents up to 1, but"),
        (("conditioning=concat",), "has 10 classes, but .*has no classes"),
        (("dataset.resolution=16",), "has samples of 1 x 16 x 16 values, but .*has samples of 1 x 32 x 32 values"),
    ],
)
def test_runs_that_cannot_be_compared(
    attending: Session, overrides: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    base = ("dataset.resolution=32", "latent.dim=8", "latent.distribution=normal")
    other = untrained(tmp_path, *base, *overrides)
    with pytest.raises(UserError, match=message):
        open_session(attending.first.run, **OPTIONS, other=other)


def test_a_sum_is_that_of_its_command(session: Session, tmp_path: Path) -> None:
    tiles = samples(session, label=2)["tiles"]
    numbers = {"a": [0, 1], "b": [2], "c": [3, 5]}
    chosen = {key: [tiles[k] for k in each] for key, each in numbers.items()}
    answer = asked(session, "combine", seed=3, label=2, numbers=numbers, **chosen)
    made = gan_lab.arithmetic(options_of(answer["command"]), out=str(tmp_path / "out"), device="cpu")
    assert torch.equal(torch.stack(list(map(point, answer["tiles"]))), made.points)
    assert_shows(answer["images"], made.samples)
    assert asked(session, "combine", seed=3, label=None, numbers=None, **chosen)["command"] is None


def test_maps_of_boxes_are_those_of_the_command(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = samples(session)
    boxes = [[k, 4, 4, 12, 10] for k in (0, 1, 2, 4)]
    answer = asked(session, "forget", tiles=first["tiles"], boxes=boxes, seed=3)
    Path("boxes.csv").write_text(answer["csv"])
    found = gan_lab.forget(options_of(answer["command"]), drop=[2], random_sets=1, out="out", device="cpu")
    assert found.order == answer["order"] and found.auc == pytest.approx(answer["auc"])
    assert found.positive == answer["positive"]
    shown = asked(session, "show", tiles=first["tiles"], view=view(session, dropped=answer["order"][:3]))
    assert shown["images"] != first["images"] and shown["edited"] == first["edited"]


def test_an_upload_is_inverted_as_by_the_command(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gan_lab.explorer.answers.STEPS", 20)
    first = samples(session, label=4)
    file = first["images"][0].partition(",")[2]
    Path("it's one.png").write_bytes(base64.b64decode(file))
    answer = asked(session, "invert", image=file, name="it's one.png", label=4)
    found = gan_lab.invert(options_of(answer["command"]), out="out", device="cpu")
    assert torch.allclose(point(answer["tiles"][0]), found.points[0], atol=1e-5)
    assert answer["difference"] == pytest.approx(found.errors[0], rel=1e-4)


def image_of(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def encoded(**tensors: torch.Tensor) -> str:
    return base64.b64encode(serialized(tensors)).decode()


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("sample", {"seed": 0, "count": 65, "label": None}, "count must be a whole number from 1 to 64"),
    ("sample", {"seed": True, "count": 1}, "seed must be a whole number"),
    ("sample", {"seed": 0, "count": 1, "label": 10}, "label must be a whole number from 0 to 9"),
    ("sample", {"seed": 0, "count": 1, "truncation": -1}, "truncation must be a number"),
    ("sample", {"seed": 0, "count": 1, "truncation": float("nan")}, "truncation must be a number"),
    ("sample", {"seed": 0, "count": 1, "view": None}, "view must be a mapping"),
    ("sample", {"seed": 0, "count": 1, "view": {"weights": "/etc/passwd"}}, "weights must be one of ema, raw"),
    ("sample", {"seed": 0, "count": 1, "label": None, "second": 3}, "A mixture needs two classes"),
    ("sample", {"seed": 0, "count": 1, "label": 1, "second": 3, "fraction": 2}, "fraction must be a number"),
    ("walk", {"tiles": [], "steps": 5}, "tiles must be"),
    ("animate", {"tiles": ["%"]}, "damaged"),
    ("show", {"tiles": []}, "tiles must be 1 to 64 samples"),
    ("show", {"tiles": ["%"]}, "damaged"),
    ("show", {"tiles": [base64.b64encode(b"x" * 20).decode()]}, "damaged"),
    ("show", {"tiles": [encoded(point=torch.zeros(5), condition=torch.tensor(1))]}, "another generator"),
    ("show", {"tiles": [encoded(point=torch.zeros(4))]}, "another generator"),
    ("show", {"tiles": [encoded(point=torch.full((4,), torch.inf), condition=torch.tensor(1))]}, "another generator"),
    ("show", {"tiles": [encoded(point=torch.zeros(4), condition=torch.tensor(10))]}, "another generator"),
    ("show", {"tiles": [encoded(point=torch.zeros(4), condition=torch.zeros(9))]}, "another generator"),
    ("show", {"tiles": [encoded(point=torch.zeros(4), condition=torch.full((10,), torch.nan))]}, "another generator"),
    ("show", {"tiles": [encoded(point=torch.zeros(6, 4), condition=torch.tensor(1))]}, "another generator"),
    ("forget", {"tiles": [], "boxes": []}, "tiles must be"),
    ("invert", {"image": "%"}, "damaged"),
    ("invert", {"image": base64.b64encode(b"no image").decode()}, "it is not an image"),
    ("invert", {"image": ""}, "empty"),
    ("invert", {"image": image_of(10_000, 5_001)}, "more than 50,000,000 pixels"),
    ("invert", {"image": "A" * 14_000_000}, "more than 10 MiB"),
]


@pytest.mark.parametrize(("action", "request_", "message"), REFUSED)
def test_values_that_are_refused(session: Session, action: str, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        asked(session, action, **request_)


def test_a_generator_without_the_ability(session: Session) -> None:
    tiles = samples(session)["tiles"][:2]
    with pytest.raises(UserError, match="Only styles can be mixed"):
        asked(session, "mix", tiles=tiles)
    with pytest.raises(UserError, match="a generator with an attention layer"):
        asked(session, "attention", tiles=tiles[:1], at=[0, 0])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "Draw boxes"),
        ([[0, 1, 1, 9, 9]], "at least two samples"),
        ([[0, 1, 1, 17, 9]], "must be numbers"),
        ([[0, 5, 1, 5, 9]], "empty"),
        ([[6, 1, 1, 9, 9]], "inside"),
        ([[0, 0, 0, 1, 1], [1, 0, 0, 1, 1]], "larger or smaller"),
    ],
)
def test_boxes_that_are_refused(session: Session, boxes: list[list[int]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        asked(session, "forget", tiles=samples(session)["tiles"], boxes=boxes)


def test_directions_of_a_file_and_of_another_space(run: Path, session: Session, tmp_path: Path) -> None:
    made = gan_lab.directions(run, method="sefa", samples=50, directions=2, show=0, out=str(tmp_path), device="cpu")
    file = str(made.folder / "directions.safetensors")
    found = open_session(run, **(OPTIONS | {"directions": file}))
    assert found.directions is not None and len(found.directions.vectors) == 2
    known = asked(found, "facts")
    assert known["method"] == "directions.safetensors" and known["directions"] == 2 and len(known["classes"]) == 10
    answer = asked(found, "show", tiles=samples(session)["tiles"], view=view(found, {0: 1.0}))
    assert answer["command"] is None


def test_an_export_has_one_kind_of_weights(run: Path, tmp_path: Path) -> None:
    gan_lab.export(run, out=str(tmp_path / "model.safetensors"))
    assert list(open_session(tmp_path / "model.safetensors", **OPTIONS).generators) == ["ema"]


def test_points_are_refused_with_a_sentence(tmp_path: Path) -> None:
    points = ("model=gan", "dataset=ring", "architecture=mlp", "metrics=[]")
    fit(compose(*SMALL, *points, f"run.dir={tmp_path / 'ring'}"))
    with pytest.raises(UserError, match="generates points: gan-lab explore is for images"):
        open_session(tmp_path / "ring", **OPTIONS)
