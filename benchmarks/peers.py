"""The contestants of `tiled.py` that are not unetkit, each file to file as its documentation has it.

All get the same network in evaluation mode and channels_last memory, the same normalisation, and the same way of
reading and writing: tifffile on the whole image, because none of them streams.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from measuring import available_memory
from numpy.typing import NDArray

from unetkit import Segmenter, predict_tiled
from unetkit.inference.tiling.grid import round_up
from unetkit.inference.tiling.windows import measure_plane
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import match_channels
from unetkit.models.masks import to_mask
from unetkit.models.statistics import Statistics

ROI = 512
OVERLAP = 0.25
"""MONAI: its default overlap, and the size and the mode ("gaussian") that its tutorials use."""

TOOLBELT_STEP = 384
"""pytorch-toolbelt: MONAI's overlap. Its README shows a step of 256, which takes twice as long."""

WHOLE_BYTES = 900
"""A pass over a whole image needs about so many bytes for each pixel."""

REFERENCE_TILE, REFERENCE_HALO = 2048, 512
"""Where the whole image does not fit."""


@dataclass(frozen=True)
class Job:
    """What every contestant does.

    Attributes:
        image: TIFF, grey or colour, one plane.
        segmenter: The model, on `device`.
        device: Where to run.
        precision: "fp32", or "bf16" for autocast.
    """

    image: Path
    segmenter: Segmenter
    device: torch.device
    precision: str

    def read(self) -> tuple[NDArray[Any], Statistics]:
        """Read the image as raw pixels (H, W, C) with the values that normalise it."""
        pixels = tifffile.imread(self.image)
        pixels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        channels = self.segmenter.spec.in_channels
        statistics = measure_plane(ArraySource(pixels, "CYX"), 0, [self.segmenter.normalizer], channels)[0]
        return np.moveaxis(match_channels(pixels, channels, str(self.image)), 0, -1), statistics

    def network(self) -> torch.nn.Module:
        """Return the network as unetkit runs it."""
        return self.segmenter.to(self.device).to(memory_format=torch.channels_last).eval().network

    def autocast(self) -> torch.autocast:
        """Return the context of the precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def write(self, logits: torch.Tensor, result: Path) -> None:
        """Turn a network's output (channels, H, W) into a mask and write it."""
        logits = logits[: self.segmenter.spec.out_channels]
        probabilities = logits.sigmoid() if len(logits) == 1 else logits
        mask = to_mask(probabilities, self.segmenter.spec.threshold).to(torch.uint8) * (255 if len(logits) == 1 else 1)
        layout: dict[str, Any] = {"tile": (512, 512), "compression": "zlib", "compressionargs": {"level": 1}}
        tifffile.imwrite(result, mask.cpu().numpy(), **layout)


def normalise(pixels: NDArray[Any], statistics: Statistics) -> NDArray[np.float32]:
    """Return raw pixels (h, w, C) as network input."""
    values = pixels.astype(np.float32)
    values -= statistics.center
    values /= statistics.scale
    return values


def monai(job: Job, batch: int) -> Callable[[Path], None]:
    """MONAI's sliding window over the whole image."""
    from monai.inferers.utils import sliding_window_inference

    network = job.network()

    @torch.inference_mode()
    def run(result: Path) -> None:
        pixels, statistics = job.read()
        inputs = torch.from_numpy(normalise(pixels, statistics).transpose(2, 0, 1)[None])
        needed = 6 * inputs.nbytes
        fits = job.device.type != "cuda" or needed < torch.cuda.mem_get_info()[0]  # else as its documentation advises
        with job.autocast():
            logits = sliding_window_inference(
                inputs.to(job.device) if fits else inputs,
                (ROI, ROI),
                batch,
                network,
                overlap=OVERLAP,
                mode="gaussian",
                sw_device=job.device,
                device=job.device if fits else "cpu",
            )
        job.write(logits[0], result)

    return run


def toolbelt(job: Job, batch: int) -> Callable[[Path], None]:
    """pytorch-toolbelt's ImageSlicer and TileMerger, line by line as in its README."""
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger
    from torch.utils.data import DataLoader

    network = job.network()

    def to_tensor(tile: NDArray[Any], statistics: Statistics) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(normalise(tile, statistics).transpose(2, 0, 1)))

    @torch.inference_mode()
    def run(result: Path) -> None:
        pixels, statistics = job.read()
        slicer = ImageSlicer(pixels.shape, ROI, TOOLBELT_STEP, weight="pyramid")
        tiles = [to_tensor(tile, statistics) for tile in slicer.split(pixels)]
        channels = job.segmenter.spec.network_channels
        merger = TileMerger(slicer.target_shape, channels, slicer.weight, device=job.device)
        pairs = list(zip(tiles, slicer.crops, strict=True))
        pin = job.device.type == "cuda"
        for windows, places in DataLoader(pairs, batch_size=batch, pin_memory=pin):  # type: ignore[arg-type]
            inputs = windows.to(job.device, memory_format=torch.channels_last)
            with job.autocast():
                merger.integrate_batch(network(inputs), places)
        merged = merger.merge()
        top, left = slicer.margin_top, slicer.margin_left
        job.write(merged[:, top : top + pixels.shape[0], left : left + pixels.shape[1]], result)

    return run


def reference(job: Job) -> Callable[[Path], str]:
    """The mask that the others are compared with, in fp32: one pass over the whole image where it fits."""
    torch.backends.cudnn.allow_tf32 = False
    network = job.network()
    stride = job.segmenter.spec.stride

    @torch.inference_mode()
    def run(result: Path) -> str:
        pixels, statistics = job.read()
        free = torch.cuda.mem_get_info()[0] if job.device.type == "cuda" else available_memory()
        if WHOLE_BYTES * pixels.shape[0] * pixels.shape[1] > 0.8 * free:
            options: dict[str, Any] = {"tile": REFERENCE_TILE, "halo": REFERENCE_HALO, "device": str(job.device)}
            options |= {"backend": "torch", "precision": "fp32", "zoom": 1.0}
            mask = predict_tiled(pixels, job.segmenter, axes="YXS", **options)
            tifffile.imwrite(result, mask, tile=(512, 512), compression="zlib")
            return f"tiles of {REFERENCE_TILE} with a halo of {REFERENCE_HALO}"
        height, width = pixels.shape[:2]
        missing = ((0, round_up(height, stride) - height), (0, round_up(width, stride) - width), (0, 0))
        padded = np.pad(normalise(pixels, statistics), missing, mode="reflect")
        logits = network(torch.from_numpy(padded.transpose(2, 0, 1)[None]).to(job.device))
        job.write(logits[0, :, :height, :width].float(), result)
        return "one pass over the whole image"

    return run
