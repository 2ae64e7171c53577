"""The page of the explorer in a real browser, where there is one."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.explorer.server import ExplorerServer
from gan_lab.explorer.session import Session, open_session
from gan_lab.figures import to_image, to_uint8
from gan_lab.training.fit import fit
from tests.conftest import SMALL
from tests.helpers.browser import Browser, browser
from tests.helpers.generators import write_generator

DRIVER = shutil.which("chromedriver")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(DRIVER is None, reason="needs chromedriver")]

SMALL_CGAN = ("model=cgan", "architecture=dcgan", "dataset.resolution=16", "latent.dim=4", "latent.distribution=normal")

IMAGES = "[...document.querySelectorAll('#samples img')].map(each => each.src)"
MESSAGE = "document.getElementById('message').textContent"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "run"
    fit(compose(*SMALL, *SMALL_CGAN, f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@contextmanager
def served(session: Session) -> Iterator[str]:
    """Address of the page of a session."""
    with ExplorerServer("127.0.0.1", 0) as server:
        server.session = session
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(run: Path, downloads: Path) -> Iterator[Browser]:
    other = write_generator(downloads / "other.safetensors", *SMALL_CGAN, seed=1)
    session = open_session(run, "ema", None, None, "sefa", None, 0, torch.device("cpu"), other=other)
    assert DRIVER is not None
    with served(session) as address, browser(DRIVER, downloads) as page:
        page.resize(1400, 1000)
        page.open(address)
        page.wait(f"{IMAGES}.length === 16")
        yield page
        assert page.errors() == []


@contextmanager
def showing(page: Browser, file: Path, method: str) -> Iterator[Browser]:
    """The browser with the page of another generator."""
    before = page.run("return location.href")
    with served(open_session(file, "ema", None, None, method, None, 0, torch.device("cpu"))) as address:
        page.open(address)
        page.wait(f"{IMAGES}.length === 16")
        yield page
        assert page.errors() == []
        page.open(before)
        page.wait(f"{IMAGES}.length === 16")


def choose(page: Browser, name: str, value: str) -> None:
    page.run(f"const each = document.getElementById('{name}'); each.value = arguments[0]; each.onchange()", value)


def slide(page: Browser, name: str, value: float) -> None:
    page.run(f"const each = document.getElementById('{name}'); each.value = arguments[0]; each.oninput()", value)


def changed(page: Browser, before: list[str]) -> list[str]:
    page.run("window.before = arguments[0]", before)
    page.wait(f"JSON.stringify({IMAGES}) !== JSON.stringify(window.before)")
    return list(page.run(f"return {IMAGES}"))


def tile(number: int) -> str:
    return f"#samples .tile:nth-child({number + 1})"


def downloaded(folder: Path, name: str) -> Path:
    for _ in range(200):
        if (folder / name).is_file():
            return folder / name
        time.sleep(0.05)
    raise AssertionError(f"{name} was not downloaded; there are {[each.name for each in folder.iterdir()]}")


def test_seed_class_and_truncation(page: Browser) -> None:
    first = page.run(f"return {IMAGES}")
    page.click("#next")
    second = changed(page, first)
    choose(page, "label", "3")
    third = changed(page, second)
    choose(page, "truncation", "0.3")
    changed(page, third)
    command = page.run("return document.querySelector('#sample_command code')?.textContent")
    assert command.endswith("count=16 seed=1 labels=3 truncation=0.3 weights=ema")
    for name, value in (("label", ""), ("truncation", ""), ("seed", "0")):
        choose(page, name, value)
    page.wait(f"{IMAGES}[0] === arguments[0]".replace("arguments[0]", f"'{first[0]}'"))


def test_sliders_and_their_reset(page: Browser) -> None:
    first = page.run(f"return {IMAGES}")
    slide(page, "direction_0", 3)
    changed(page, first)
    assert "directions" in page.run("return document.querySelector('#sample_command code')?.textContent")
    page.click("#reset")
    page.wait(f"{IMAGES}[0] === '{first[0]}'")
    page.wait("document.querySelector('#sample_command code')?.textContent.startsWith('gan-lab sample')")


def hidden(page: Browser, name: str) -> bool:
    return bool(page.run(f"return document.getElementById('{name}').hidden"))


def test_controls_of_what_the_generator_lacks_are_hidden(page: Browser) -> None:
    assert all(hidden(page, name) for name in ("resolution_row", "attention_row", "mix", "second_row"))
    assert not hidden(page, "beside_row") and not hidden(page, "forget_section")


def test_weights_and_another_run_side_by_side(page: Browser) -> None:
    first = page.run(f"return {IMAGES}")
    choose(page, "beside", "raw")
    raw = changed(page, first)
    choose(page, "beside", "other")
    other = changed(page, raw)
    assert first == raw[::2] == other[::2] and not set(other[1::2]) & set(raw)
    page.click(tile(3))
    assert page.run("return document.querySelectorAll('#large_second img').length") == 1
    note = page.run("return document.getElementById('selected_note').textContent")
    assert note == "sample 3 of seed 0: ema | other, other.safetensors"
    choose(page, "beside", "")
    page.wait(f"{IMAGES}.length === 16")


def test_mixed_classes(page: Browser) -> None:
    choose(page, "label", "3")
    page.wait("document.querySelector('#sample_command code')?.textContent.includes('labels=3')")
    three = page.run(f"return {IMAGES}")
    choose(page, "second", "8")
    half = changed(page, three)
    note = page.run("return document.getElementById('mixed_note').textContent")
    assert note == "Interpolated between the two classes: the network's one-hot vectors."
    slide(page, "fraction", 0)
    changed(page, half)
    assert page.run(f"return {IMAGES}") == three and hidden(page, "sample_command")
    choose(page, "second", "")
    choose(page, "label", "")
    page.wait("document.querySelector('#sample_command code')?.textContent.endsWith('seed=0 weights=ema')")


def test_walk_with_its_animation_and_arithmetic(page: Browser, downloads: Path) -> None:
    for number in (0, 5):
        page.click(tile(number))
        page.click("[data-tray=pins]")
    page.click("#walk")
    page.wait("document.querySelectorAll('#result img').length === 16")
    ends = page.run("const all = document.querySelectorAll('#result img'); return [all[0].src, all[15].src]")
    assert ends == page.run(f"const all = {IMAGES}; return [all[0], all[5]]")
    command = page.run("return document.querySelector('#result_command code')?.textContent")
    assert "interpolate" in command and "from=0 to=5" in command
    page.click("#save_gif")
    with Image.open(downloaded(downloads, "walk.gif")) as image:
        assert image.n_frames == 30
    for number, tray in ((0, "a"), (1, "b"), (2, "c")):
        page.click(tile(number))
        page.click(f"[data-tray={tray}]")
    page.click("#combine")
    page.wait("document.querySelectorAll('#result img').length === 9")
    command = page.run("return document.querySelector('#result_command code')?.textContent")
    assert "'a=[0]' 'b=[1]' 'c=[2]'" in command or "a=[0] b=[1] c=[2]" in command
    assert hidden(page, "save_gif")


def test_boxes_and_forgotten_maps(page: Browser) -> None:
    first = page.run(f"return {IMAGES}")
    for number in (0, 3, 6):
        page.click(tile(number))
        page.drag("#large", (-60, -70), (60, 20))
    assert page.run("return document.querySelectorAll('#samples .box').length") == 3
    page.click("#find")
    changed(page, first)
    assert "concept.boxes=boxes.csv" in page.run("return document.querySelector('#forget_command code')?.textContent")
    slide(page, "dropped", 0)
    page.wait(f"{IMAGES}[0] === '{first[0]}'")
    page.click("#clear_boxes")
    page.wait("document.querySelectorAll('.box').length === 0")


def test_inversion_and_an_upload_that_is_not_an_image(page: Browser, run: Path, tmp_path: Path) -> None:
    (image,) = gan_lab.load(run, device="cpu").sample(1, seed=5, condition=[1])
    to_image(to_uint8(image)).save(tmp_path / "digit.png")
    (tmp_path / "text.png").write_text("no image")
    page.type("#file", str(tmp_path / "digit.png"))
    page.click("#invert")
    page.wait("document.getElementById('result_title').textContent === 'Inversion'")
    assert "images=digit.png" in page.run("return document.querySelector('#result_command code')?.textContent")
    page.type("#file", str(tmp_path / "text.png"))
    page.click("#invert")
    page.wait(f"{MESSAGE}.includes('not an image')")
    assert "400" in page.errors()[0]  # browsers log a refusal, too
    (tmp_path / "large.png").write_bytes(bytes(10 * 2**20 + 1))
    page.type("#file", str(tmp_path / "large.png"))
    page.click("#invert")
    page.wait(f"{MESSAGE} === 'large.png has more than 10 MiB; choose a smaller image.'")
    page.click("#next")
    page.wait(f"{MESSAGE} === ''")


def test_downloads(page: Browser, downloads: Path, run: Path) -> None:
    choose(page, "seed", "0")
    page.wait("document.querySelector('#sample_command code')?.textContent.includes('seed=0')")
    page.click(tile(2))
    page.click("#save_latents")
    page.click("#save_image")
    page.click("#save_samples")
    tensors = load_file(downloaded(downloads, "sample_2_of_seed_0.safetensors"))
    assert torch.equal(tensors["point"], gan_lab.load(run, device="cpu").draw(16)[0][2])
    with Image.open(downloaded(downloads, "sample_2_of_seed_0.png")) as image:
        assert image.size == (192, 192)
    with Image.open(downloaded(downloads, "samples_seed_0.png")) as image:
        assert image.size == (4 * 192, 4 * 192)


def test_a_narrow_window_has_no_horizontal_scroll(page: Browser) -> None:
    page.resize(500, 900)
    assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    page.resize(1400, 1000)


def test_mixed_styles(page: Browser, tmp_path: Path) -> None:
    overrides = ("model=stylegan2", "latent.dim=8", "dataset.resolution=16")
    with showing(page, write_generator(tmp_path / "styles.safetensors", "dataset=digits", *overrides), "pca"):
        for number in (0, 5):
            page.click(tile(number))
            page.click("[data-tray=pins]")
        page.click("#mix")
        page.wait("document.querySelectorAll('#result img').length === 4")
        page.click("#result .tile:nth-child(2)")
        note = page.run("return document.getElementById('selected_note').textContent")
        assert note == "sample 0 of seed 0 with the middle styles of sample 5 of seed 0"
        page.click("[data-tray=pins]")
        page.click("#walk")
        page.wait("document.querySelectorAll('#result img').length === 16")


def test_attention_under_the_mouse(page: Browser, tmp_path: Path) -> None:
    overrides = ("model=sagan", "latent.dim=8", "dataset.resolution=32", "conditioning=none")
    with showing(page, write_generator(tmp_path / "attending.safetensors", "dataset=digits", *overrides), "sefa"):
        assert not hidden(page, "attention_row")
        page.hover("#large", (40, 60))
        page.wait("document.querySelectorAll('#large .attention').length === 1")
        assert "of 8 x 8" in page.run("return document.getElementById('attention_note').textContent")
        page.hover("#seed", (0, 0))
        page.wait("document.querySelectorAll('#large .attention').length === 0")


def test_a_lower_resolution(page: Browser, tmp_path: Path) -> None:
    overrides = ("model=pggan", "latent.dim=8", "dataset.resolution=16")
    with showing(page, write_generator(tmp_path / "growing.safetensors", "dataset=digits", *overrides), "pca"):
        first = page.run(f"return {IMAGES}")
        choose(page, "resolution", "4")
        changed(page, first)
        choose(page, "resolution", "")
        page.wait(f"{IMAGES}[0] === '{first[0]}'")
