"""PyTorch, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from unetkit.backends.info import BackendInfo, Precision
from unetkit.backends.torch import channels_last, prepare
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept


class CompiledBackend:
    """A model compiled by inductor, with CUDA graphs on a GPU. It is for the one thread that calls it first.

    Each size of windows is compiled twice, which takes about a minute: for the tiles inside an image, and for those at
    its border. The kept parts of tiles at the border differ, and are cut afterwards.

    Args:
        segmenter: The model; it is moved to `device`.
        device: CPU or CUDA.
        precision: "fp32", "bf16" or "fp16".
        owned: Whether the segmenter's network may be changed, which saves a copy of the weights.
    """

    RECOMPILATIONS = 64
    """Largest number of compilations in a run, two for each size of windows."""

    memory_format = torch.channels_last

    def __init__(self, segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> None:
        self.device = device
        model = prepare(segmenter, device, precision, owned=owned)
        self._plan = model.network.plan
        options: dict[str, str | int | bool | Callable[..., Any]] = {"freezing": True}
        if device.type == "cuda":
            options["triton.cudagraphs"] = True
        self._model = torch.compile(model, dynamic=False, options=options)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        """Predict the kept part of a batch; see `Backend`."""
        window = tuple(pixels.shape[2:])
        inside = all(part.start > 0 and part.stop < size for part, size in zip(kept, window, strict=True))
        computed = kept if inside else tuple(slice(0, size) for size in window)
        cuts = self._plan(window, computed).tolist()
        with torch._dynamo.config.patch(recompile_limit=self.RECOMPILATIONS):
            probabilities = cast(Tensor, self._model(channels_last(pixels), center, scale, cuts))
        return probabilities if inside else probabilities[:, :, *kept]

    def release(self) -> None:
        """Nothing to give back: no second run uses it."""


INFO = BackendInfo(
    name="compile",
    create=CompiledBackend,
    precisions={"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")},
    creation_seconds=90.0,
    feature_overhead=2.0,  # the three about memory are guesses
    weight_overhead=3.0,
    runtime_bytes=3 * 10**8,
    candidate_on=("cuda",),  # on a CPU compiling takes longer than it gains
    takes_weights=True,
    single_thread=True,  # CUDA graphs belong to the thread that recorded them
    computes_whole_at_border=True,
)
