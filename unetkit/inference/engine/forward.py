"""A batch of windows through the models: raw pixels to the device; a byte or two of each, or probabilities, back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.backends.base import Backend, for_axes
from unetkit.backends.info import Precision
from unetkit.foundation.errors import ConfigError, ModelError, UnetkitError
from unetkit.inference.engine.orientations import Orientation, orientations
from unetkit.inference.engine.uncertainty import Spread, normalised_entropy
from unetkit.inference.tiling.grid import PerAxis, per_axis, round_up
from unetkit.io.base.contracts import ImageInfo
from unetkit.models.masks import to_mask
from unetkit.models.statistics import Statistics
from unetkit.models.trimmed import Kept
from unetkit.postprocess.parts import LARGEST_PREDICTED

Kind = Literal["mask", "probabilities", "uncertainty", "heights", "outputs", "restored"]
"""Prediction for each pixel: class, probability of each class, uncertainty, mask and distance ("heights"; of models
without distances mask and probability), probability of the foreground and distance ("outputs"), or restored value."""

RESTORED_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Types of images whose restored image has the same type. For other types it is float32."""


@dataclass(frozen=True)
class Pending:
    """Predictions on their way back from the device.

    Attributes:
        predicted: (N, channels, *kept) in memory of the host.
        ready: Recorded when they have arrived; None if they are there.
        sources: Tensors that must stay alive until then.
        total: Sum of all probabilities, in memory of the host: NaN if one of them is.
        refuse: Makes the error of a prediction that is NaN.
    """

    predicted: Tensor
    total: Tensor
    refuse: Callable[[], UnetkitError]
    ready: torch.cuda.Event | None = None
    sources: tuple[Tensor, ...] = ()

    def result(self) -> NDArray[np.generic]:
        """Wait for the predictions and return them.

        Raises:
            ModelError: A probability is NaN.
        """
        if self.ready is not None:
            self.ready.synchronize()
        if not bool(self.total.isfinite()):
            raise self.refuse()
        predicted: NDArray[np.generic] = self.predicted.numpy()
        return predicted


class Forward:
    """Models on their backends as a function of windows: the mean of their probabilities, or what follows from it.

    On CUDA, copies run on streams of their own beside the computation, from and to pinned memory. When the device runs
    out of memory, the batch is halved, then the window, until it fits; later batches begin with what fitted.

    Args:
        backends: The models, all on one device.
        classes: Channels of their output that are probabilities.
        kind: What is returned.
        threshold: Foreground probability, 0 to 1, from which a mask pixel is foreground.
        augment: Whether each window is predicted in all its orientations, whose mean counts.
        halo: Context, in pixels, of each part of a window that has to be divided; one number, or one for each axis.
        stride: Stride of the networks, in pixels; one number, or one for each axis.
        image: Image that is restored; None for other kinds.
        residual: Whether what the models predict has to be added to the image that is restored.
        log: Called with a sentence, once, when the device ran out of memory.
        name: Name of the models, for messages.
        precision: Arithmetic of the networks, for messages.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        classes: int,
        kind: Kind,
        threshold: float,
        augment: bool,
        halo: PerAxis,
        stride: PerAxis,
        log: Callable[[str], None],
        image: ImageInfo | None = None,
        residual: bool = False,
        name: str = "The model",
        precision: Precision = "fp32",
    ) -> None:
        self._backends = backends
        self._name = name
        self._precision = precision
        self._classes = classes
        self._kind = kind
        self._residual = residual
        self._threshold = threshold
        self._augment = augment
        self._halo = halo
        self._stride = stride
        self._log = log
        self._too_many: int | None = None  # windows times their pixels with which memory has run out
        self.device = backends[0].device
        self._streams: tuple[torch.cuda.Stream, torch.cuda.Stream] | None = None
        if self.device.type == "cuda":
            up, down = (torch.cuda.Stream(self.device) for _ in range(2))  # type: ignore[no-untyped-call]
            self._streams = (up, down)
        self._several = augment or len(backends) > 1
        self.channels, self.dtype = layout(kind, classes, image, several=self._several)

    def gather(self, windows: Sequence[NDArray[np.generic]]) -> Tensor:
        """Copy windows (C, ...) into a batch in memory of the host from which the device copies fast.

        The batch is laid out as the first model takes it. Pixels that torch has no use for are converted: those of 64
        bits and float16 to float32, bool to uint8.
        """
        dtype = windows[0].dtype.newbyteorder("=")
        if dtype.kind == "b":
            dtype = np.dtype(np.uint8)
        elif dtype.itemsize > 4 or dtype.kind == "f":
            dtype = np.dtype(np.float32)
        shape = (len(windows), *windows[0].shape)
        batch = torch.empty(
            shape,
            dtype=TORCH_TYPES[dtype.name],
            pin_memory=self._streams is not None,
            memory_format=for_axes(self._backends[0].memory_format, windows[0].ndim - 1),
        )
        for place, window in zip(batch.numpy(), windows, strict=True):
            np.copyto(place, window, casting="unsafe")
        return batch

    @torch.inference_mode()
    def submit(self, windows: Tensor, statistics: Sequence[Sequence[Statistics]], kept: Kept) -> Pending:
        """Predict the kept part of a batch.

        Args:
            windows: (N, C, ...) raw pixels, from `gather`; their sizes are multiples of the stride.
            statistics: For each model, the normalisation values of the image that each window comes from.
            kept: Part of the windows to predict.

        Returns:
            The predictions to come, (N, channels, *kept), by kind:

            - "mask": uint8 with one channel, 0 and 255, or class numbers where there are more classes.
            - "probabilities": float32.
            - "uncertainty": float32 entropy of the mean, 0 to 1, and the spread where there are several predictions.
            - "heights": uint8 probability of the foreground and distance map, or twice the probability; both 0 in the
              background of the mask and 1 to 255 in its foreground.
            - "outputs": float32 probability of the foreground and distance map, 0 to 1.
            - "restored": float32 pixels in the units of the image, within the range of its type.

        Raises:
            ConfigError: The memory of the device does not hold the smallest possible window.
        """
        totals: list[Tensor] = []
        scales = [tuple(torch.from_numpy(array) for array in _stack(values)) for values in statistics]
        if self._streams is None:
            on_device = [(center.to(self.device), scale.to(self.device)) for center, scale in scales]
            predicted = self._predict_within_memory(windows.to(self.device), on_device, kept, totals).cpu()
            return Pending(predicted, torch.stack(totals).sum().cpu(), self._refuse)
        up, down = self._streams
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(up):
            moved = windows.to(self.device, non_blocking=True)
            on_device = [(center.to(self.device), scale.to(self.device)) for center, scale in scales]
        compute.wait_stream(up)
        for tensor in (moved, *(tensor for pair in on_device for tensor in pair)):
            tensor.record_stream(compute)
        predicted = self._predict_within_memory(moved, on_device, kept, totals)
        total = torch.stack(totals).sum()
        down.wait_stream(compute)
        with torch.cuda.stream(down):
            arrived = torch.empty(predicted.shape, dtype=predicted.dtype, pin_memory=True)
            arrived.copy_(predicted, non_blocking=True)
            arrived_total = torch.empty((), pin_memory=True)
            arrived_total.copy_(total, non_blocking=True)
            ready = down.record_event()
        predicted.record_stream(down)
        total.record_stream(down)
        return Pending(arrived, arrived_total, self._refuse, ready, (windows,))

    def _refuse(self) -> ModelError:
        """Return the error of a prediction that is NaN."""
        exact = self._precision == "fp32"
        return ModelError(
            f"{self._name} predicted NaN in {self._precision}.",
            "Its weights or the values of the image are beyond what it can compute with: check both."
            if exact
            else f"The numbers grew too large for {self._precision}: use --precision fp32.",
        )

    def _predict_within_memory(
        self, windows: Tensor, scales: list[tuple[Tensor, Tensor]], kept: Kept, totals: list[Tensor]
    ) -> Tensor:
        """Predict, dividing the batch or the window where the memory of the device is too small."""
        count, window = len(windows), tuple(windows.shape[2:])
        pixels = count * prod(window)
        if self._too_many is None or pixels < self._too_many:
            try:
                return self._predict(windows, scales, kept, totals)
            except torch.OutOfMemoryError:
                if self._too_many is None:
                    self._log(f"{self.device} is out of memory: going on with smaller batches and tiles.")
                self._too_many = pixels
            if self.device.type == "cuda":  # after the handler, which holds on to what had been allocated
                torch.cuda.empty_cache()
        if count > 1:
            parts = [
                self._predict_within_memory(windows[part], [(c[part], s[part]) for c, s in scales], kept, totals)
                for part in (slice(0, count // 2), slice(count // 2, count))
            ]
            return torch.cat(parts)
        halos, strides = per_axis(self._halo, len(window)), per_axis(self._stride, len(window))
        longest_first = sorted(range(len(window)), key=lambda axis: kept[axis].start - kept[axis].stop)
        for axis in longest_first:
            pieces = _divide(window[axis], kept[axis], halos[axis], strides[axis])
            if pieces:
                parts = [
                    self._predict_within_memory(
                        windows.narrow(2 + axis, start, length),
                        scales,
                        (*kept[:axis], inner, *kept[axis + 1 :]),
                        totals,
                    )
                    for start, length, inner in pieces
                ]
                return torch.cat(parts, dim=2 + axis)
        raise ConfigError(
            f"The memory of {self.device} is too small for {' x '.join(map(str, window))} pixels.",
            "Close other programs that use it, or use --device cpu.",
        )

    def _predict(
        self, windows: Tensor, scales: list[tuple[Tensor, Tensor]], kept: Kept, totals: list[Tensor]
    ) -> Tensor:
        """Predict (N, channels, *kept), and add the sum of the probabilities to `totals`."""
        axes = windows.dim() - 2
        chosen = orientations(axes) if self._augment else (Orientation(),)
        count = len(chosen) * len(self._backends)
        total: Tensor | None = None
        spread = Spread(self._classes) if self._kind == "uncertainty" and count > 1 else None
        for orientation in chosen:
            turned = orientation.apply(windows)
            turned_kept = orientation.place(kept, windows.shape[2:])
            for backend, (center, scale) in zip(self._backends, scales, strict=True):
                predicted = backend(turned, center, scale, turned_kept)
                if self._kind == "restored":
                    each = (slice(None), slice(None), *[None] * axes)
                    start = turned[:, :, *turned_kept].float() if self._residual else center[each]
                    predicted = predicted * scale[each] + start
                predicted = orientation.undo(predicted)
                if count > 1:
                    total = predicted.clone() if total is None else total.add_(predicted)
                    if spread is not None:
                        spread.add(predicted, total)
                else:
                    total = predicted
        assert total is not None
        mean = total.div_(count) if count > 1 else total
        totals.append(mean.sum())
        if self._kind == "restored":
            return self._fit_range(mean)
        probabilities = mean[:, : self._classes]
        if self._kind in ("probabilities", "outputs"):
            chosen_channels = probabilities if self._kind == "probabilities" else mean[:, [0, -1]]
            return chosen_channels.clone(memory_format=torch.contiguous_format)  # the backend's own may change
        if self._kind == "uncertainty":
            unsure = normalised_entropy(probabilities)
            return (unsure if spread is None else torch.cat([unsure, spread.result()], dim=1)).contiguous()
        found = to_mask(probabilities, self._threshold, axis=1).unsqueeze(1)
        if self._classes > 1:
            return found.to(torch.uint8)
        if self._kind == "mask":
            return found.to(torch.uint8).mul_(255)
        both = torch.cat([probabilities, mean[:, -1:]], dim=1).mul_(LARGEST_PREDICTED)
        return both.round_().clamp_(1, LARGEST_PREDICTED).mul_(found).to(torch.uint8)

    def _fit_range(self, restored: Tensor) -> Tensor:
        """Return restored pixels as the image holds them: whole numbers of its range, grey if it is grey."""
        if self.channels < restored.shape[1]:  # a grey image, which was repeated for the model
            restored = restored.mean(1, keepdim=True)
        if self.dtype.kind != "f":
            limits = np.iinfo(self.dtype)
            high = np.float32(limits.max)
            high = high if int(high) <= limits.max else np.nextafter(high, np.float32(0))
            restored = restored.round_().clamp_(float(limits.min), float(high))
        return restored.contiguous()


def layout(
    kind: Kind, classes: int, image: ImageInfo | None = None, *, several: bool = False
) -> tuple[int, np.dtype[Any]]:
    """Return the channels and the dtype of what models predict.

    Args:
        kind: What they predict.
        classes: Channels of their probabilities, or of the images that they restore.
        image: The image, for the kind "restored".
        several: Whether each pixel is predicted several times, for the kind "uncertainty".
    """
    if kind == "restored":
        assert image is not None
        same = image.dtype.newbyteorder("=") if image.dtype.name in RESTORED_TYPES else np.dtype(np.float32)
        return min(image.channels, classes), np.dtype(np.uint8) if image.dtype.kind == "b" else same
    if kind == "probabilities":
        return classes, np.dtype(np.float32)
    if kind == "outputs":
        return 2, np.dtype(np.float32)
    if kind == "uncertainty":
        return 2 if several else 1, np.dtype(np.float32)
    return 2 if kind == "heights" else 1, np.dtype(np.uint8)


TORCH_TYPES = {
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.uint16,
    "int16": torch.int16,
    "uint32": torch.uint32,
    "int32": torch.int32,
    "float32": torch.float32,
}
"""Types in which raw pixels go to the device."""


def _stack(values: Sequence[Statistics]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.stack([value.center for value in values]), np.stack([value.scale for value in values])


def _divide(length: int, kept: slice, halo: int, stride: int) -> list[tuple[int, int, slice]]:
    """Divide an axis in two: first pixel and number of pixels of each part, and which of these are kept.

    There are no parts where, with its halo, one would be as long as the whole.
    """
    middle = (kept.start + kept.stop) // 2
    for cut in (round_up(middle, stride), middle // stride * stride):
        if max(kept.start, halo) < cut < min(kept.stop, length - halo):
            start = cut - halo
            first = (0, cut + halo, slice(kept.start, cut))
            return [first, (start, length - start, slice(halo, kept.stop - start))]
    return []
