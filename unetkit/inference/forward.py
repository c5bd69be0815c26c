"""One batch of tiles through a model: raw pixels to the device, one byte per pixel (or probabilities) back."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.errors import ConfigError
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics

Output = Literal["mask", "probabilities"]
"""What is predicted: a uint8 mask, or float32 probabilities."""


class Forward:
    """A model on a device, as a function of NumPy arrays.

    Args:
        segmenter: The model; it is moved to `device` and put into evaluation mode.
        device: Where to run.
        output: "mask": 0 background and 255 foreground, or class numbers where there are more classes.
            "probabilities": of the foreground, or of each class.
        threshold: Foreground probability, 0 to 1, from which a mask pixel is foreground.
    """

    def __init__(self, segmenter: Segmenter, device: torch.device, output: Output, threshold: float) -> None:
        self._segmenter = segmenter.to(device).to(memory_format=torch.channels_last).eval()
        self._device = device
        self._output = output
        self._threshold = threshold
        self.channels = segmenter.spec.out_channels if output == "probabilities" else 1
        self.dtype = np.dtype(np.float32 if output == "probabilities" else np.uint8)

    @torch.inference_mode()
    def __call__(self, windows: NDArray[Any], statistics: list[Statistics]) -> NDArray[Any]:
        """Predict a batch.

        Args:
            windows: (N, C, h, w) raw pixels; h and w are multiples of the encoder's stride.
            statistics: The normalisation values of the image that each window comes from.

        Returns:
            (N, channels, h, w): uint8 masks with one channel, or float32 probabilities.
        """
        pixels = self._to_device(windows).contiguous(memory_format=torch.channels_last)
        center = self._to_device(np.stack([values.center for values in statistics]))
        scale = self._to_device(np.stack([values.scale for values in statistics]))
        probabilities = self._segmenter(pixels, center, scale)
        if self._output == "mask":
            probabilities = self._mask(probabilities)
        predicted: NDArray[Any] = probabilities.cpu().numpy()
        return predicted

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Move an array to the device in its own dtype, or as float32 where that is smaller."""
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        if native.dtype.itemsize > 4:  # twice the bytes for the same float32 at the end
            native = native.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(native)).to(self._device)

    def _mask(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return (N, 1, h, w) uint8: 0 or 255, or class numbers."""
        if probabilities.shape[1] == 1:
            return (probabilities >= self._threshold).to(torch.uint8) * 255
        return probabilities.argmax(1, keepdim=True).to(torch.uint8)


def choose_device(device: str) -> torch.device:
    """Return the device to run on: for "auto" CUDA if there is one, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: The device does not exist here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.ones(1, device=chosen).cpu()  # a device may be known and yet not hold pixels ("meta")
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(
            f"The device '{device}' cannot be used here ({str(error).splitlines()[0]}).",
            "Use 'auto', 'cpu', or one that `unetkit info` lists.",
        ) from error
    return chosen
