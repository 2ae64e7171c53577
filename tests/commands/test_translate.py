"""`gan-lab translate`: sizes, names, modes, noise, and what it refuses."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.commands.translate import output_names
from gan_lab.errors import ConfigError, DataError, UserError
from gan_lab.figures import to_image, to_uint8
from gan_lab.sampling.translators import Translator, padded_by_reflection
from tests.helpers.translators import write_translator

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_translator(tmp_path_factory.mktemp("translator") / "both.safetensors", both=True)


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def photo(path: str, width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Write random pixels; returns the image as it is in the file."""
    values = np.random.default_rng(seed).integers(0, 65536 if mode == "I;16" else 256, (height, width, 4))
    image = Image.fromarray(values[..., 0].astype(np.uint16)) if mode == "I;16" else None
    image = image or Image.fromarray(values.astype(np.uint8)).convert(mode)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    with Image.open(path) as found:
        found.load()
        return found


def translated(file: Path, *arguments: str, **settings: Any) -> dict[str, Image.Image]:
    found = gan_lab.translate(file, *arguments, device="cpu", **settings)
    return {name: Image.open(path) for name, path in found.files.items()}


def test_each_image_has_a_translation_of_its_name_and_size(file: Path) -> None:
    sizes = {"a.jpg": (70, 50), "sub/deeper/b.png": (31, 32), "sub/b.tif": (1, 3), "c.webp": (33, 64)}
    for name, size in sizes.items():
        photo(f"photos/{name}", *size)
    found = gan_lab.translate(file, source="photos", out="made", device="cpu")
    assert {name: path.relative_to("made").as_posix() for name, path in found.files.items()} == {
        "a.jpg": "a.png", "c.webp": "c.png", "sub/b.tif": "sub/b.png", "sub/deeper/b.png": "sub/deeper/b.png",
    }  # fmt: skip
    assert {name: Image.open(path).size for name, path in found.files.items()} == sizes
    assert found.direction == "AtoB" and found.images_seen == 64 and not found.skipped


def test_an_image_of_a_fitting_size_is_passed_to_the_network_as_it_is(file: Path) -> None:
    image = photo("a.png", 64, 32)
    translator = gan_lab.load_translator(file, device="cpu")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        (expected,) = translator.network(torch.empty(1, 0), pixels)
    assert translator(image).tobytes() == to_image(to_uint8(expected)).tobytes()
    found = translated(file, source="a.png", stochastic=False)
    assert found["a.png"].tobytes() == translator(image).tobytes()


def test_other_sizes_are_padded_by_reflection_and_cropped(file: Path) -> None:
    image = photo("a.png", 50, 20)
    array = np.pad(np.array(image), ((6, 6), (7, 7), (0, 0)), mode="reflect")
    translator = gan_lab.load_translator(file, device="cpu")
    entire = translator(Image.fromarray(array))
    assert entire.size == (64, 32) and translator(image).tobytes() == entire.crop((7, 6, 57, 26)).tobytes()
    single = torch.tensor([[[7]]], dtype=torch.uint8)
    assert torch.equal(padded_by_reflection(single, 4), single.expand(1, 4, 4))


def test_every_mode_is_converted_as_in_training(file: Path) -> None:
    for name, mode in {"gray.png": "L", "alpha.png": "RGBA", "deep.png": "I;16", "palette.gif": "P"}.items():
        photo(f"modes/{name}", 32, 32, mode)
    found = translated(file, source="modes", stochastic=False)
    assert {image.mode for image in found.values()} == {"RGB"} and len(found) == 4
    translator = gan_lab.load_translator(file, device="cpu")
    with Image.open("modes/deep.png") as deep:
        eight = Image.fromarray(np.rint(np.array(deep) / 257).astype(np.uint8))
    assert found["deep.png"].tobytes() == translator(eight).tobytes()
    with Image.open("modes/alpha.png") as alpha:
        white = Image.new("RGBA", alpha.size, "white")
        white.alpha_composite(alpha.convert("RGBA"))
    assert found["alpha.png"].tobytes() == translator(white.convert("RGB")).tobytes()


def test_channels_and_directions_are_those_of_the_run(tmp_path: Path) -> None:
    file = write_translator(tmp_path / "x.safetensors", channels=1, source_channels=4, both=True)
    photo("a.png", 32, 32)
    forth = translated(file, source="a.png", stochastic=False)["a.png"]
    back = translated(file, source="a.png", direction="BtoA", stochastic=False)["a.png"]
    assert forth.mode == "L" and back.mode == "RGBA"


def test_noise_is_of_the_seed_and_the_name_whatever_else_is_translated(file: Path) -> None:
    image = photo("photos/a.png", 32, 32)
    image.save("photos/b.png")
    first = translated(file, source="photos", batch_size=8)
    assert first["a.png"].tobytes() != first["b.png"].tobytes()
    assert translated(file, source="photos/b.png")["b.png"].tobytes() == first["b.png"].tobytes()
    assert translated(file, source="photos", seed=1)["a.png"].tobytes() != first["a.png"].tobytes()
    fixed = translated(file, source="photos", stochastic=False, batch_size=8)
    assert fixed["a.png"].tobytes() == fixed["b.png"].tobytes()


def test_the_result_reports_what_it_depends_on(file: Path, tmp_path: Path, command: Command) -> None:
    photo("a.png", 32, 32)
    outcome = command("translate", f"run={file}", "source=a.png", "device=cpu", "out=one")
    assert "1 image, AtoB, in one" in outcome.out and "(stochastic=true, seed=0)" in outcome.out, outcome.err
    assert "Dropout: random for each image, from its name" in outcome.out
    assert "Norms use the statistics of each image." in outcome.out
    plain = write_translator(tmp_path / "plain.safetensors", dropout=0)
    found = gan_lab.translate(plain, source="a.png", device="cpu")
    assert found.noise.startswith("The network has neither dropout nor latents: an image has one translation.")


def test_resize_gives_the_shorter_side(file: Path) -> None:
    image = photo("a.png", 90, 60)
    found = translated(file, source="a.png", resize=32, stochastic=False)["a.png"]
    smaller = image.resize((48, 32), Image.Resampling.BICUBIC)
    assert found.size == (48, 32)
    assert found.tobytes() == gan_lab.load_translator(file, device="cpu")(smaller).tobytes()


def test_names_in_a_zip_file_stay_in_the_folder(file: Path) -> None:
    photo("a.png", 32, 32)
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in ("sub/a.png", "/absolute/a.png", "../../a.png"):
            archive.write("a.png", name)
    found = gan_lab.translate(file, source="x.zip", out="made", device="cpu")
    assert sorted(path.as_posix() for path in Path("made").rglob("*.png")) == ["made/absolute/a.png", "made/sub/a.png"]
    assert len(found.files) == 2
    assert output_names([r"..\..\a.jpg", "c:b.jpg"]) == {r"..\..\a.jpg": ".._.._a.png", "c:b.jpg": "c_b.png"}


def test_files_are_never_replaced(file: Path) -> None:
    photo("a.png", 32, 32)
    folders = [gan_lab.translate(file, source="a.png", device="cpu").folder for _ in range(2)]
    assert [folder.name for folder in folders] == ["AtoB_a", "AtoB_a-2"]
    assert folders[0].parent == file.parent / "both_outputs" / "translations"
    with pytest.raises(ConfigError, match="contains files already"):
        gan_lab.translate(file, source="a.png", out=folders[0])


def test_damaged_images_are_left_out_with_a_warning(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo("photos/a.png", 32, 32)
    Path("photos/b.png").write_bytes(b"not an image")
    found = gan_lab.translate(file, source="photos", device="cpu")
    assert set(found.files) == {"a.png"} and set(found.skipped) == {"b.png"}
    assert "b.png cannot be read" in caplog.text and "1 could not be read" in str(found)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    {
        "source=nowhere": "source=nowhere does not exist; give the path",
        "source=empty": "source=empty contains no images",
        "source=text.txt": "source=.*text.txt is neither a folder nor a zip file",
        "source=broken": "source=broken has no image that can be read: b.png cannot be read",
        "source=twice": "a.jpg and a.png would both be written to a.png: rename one of them",
        "source=a.png direction=BtoC": "direction=BtoC is not allowed: it must be AtoB, BtoA, or null",
        "source=a.png direction=BtoA run=one.safetensors": "direction=BtoA is not offered by one.safetensors, which "
        "translates AtoB only",
        "source=a.png resize=0": "resize=0 is not allowed: it must be at least 1",
        "source=a.png batch_size=0": "batch_size=0 is not allowed",
        "source=a.png run=x": "x does not exist",
        "source=a.png out=a.png": "out=a.png is not a directory",
    }.items(),
)
def test_refusals(arguments: str, pattern: str, file: Path, command: Command) -> None:
    for name in ("a.png", "twice/a.png", "twice/a.jpg"):
        photo(name, 32, 32)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/b.png").write_bytes(b"x")
    Path("text.txt").write_text("x")
    if "one.safetensors" in arguments:
        write_translator(Path("one.safetensors"))
    run = () if "run=" in arguments else (f"run={file}",)
    outcome = command("translate", *run, "device=cpu", *arguments.split())
    assert outcome.status == 2 and "Traceback" not in outcome.err
    with pytest.raises(UserError, match=pattern):
        gan_lab.translate(*run, "device=cpu", *arguments.split())
    assert not list(file.parent.glob("both_outputs/translations/*broken*"))


def test_a_generator_of_latents_is_refused_and_a_translator_refuses_to_sample(
    file: Path, tmp_path: Path, command: Command
) -> None:
    photo("a.png", 32, 32)
    for name in ("sample", "interpolate"):
        outcome = command(name, f"run={file}", "device=cpu")
        assert outcome.status == 2 and "use gan-lab translate source=<images>" in outcome.err


def test_images_that_do_not_fit_into_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    photo("a.png", 70, 50)
    monkeypatch.setattr(Translator, "translate", full)
    with pytest.raises(ConfigError, match=r"a.png has 70x50 pixels.*batch_size=1: give resize="):
        gan_lab.translate(file, source="a.png", device="cpu")


def test_collisions_of_names_differ_in_case_too() -> None:
    with pytest.raises(DataError, match=r"A.jpg and a.png would both be written to a.png"):
        output_names(["A.jpg", "a.png"])
