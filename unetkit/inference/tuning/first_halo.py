"""The halo of models that came without one: measured on the first image that they see, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.backends.base import device_of
from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.foundation.user_cache import user_cache
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.tiling.grid import PerAxis, in_words, one_if_equal, per_axis
from unetkit.inference.tiling.halo import HALO_TOLERANCE, HaloMeasurement, measure_halo, plan_comparison
from unetkit.inference.tiling.windows import measure_plane
from unetkit.io.base.contracts import ImageSource, match_channels
from unetkit.models.foreign import ForeignSpec
from unetkit.models.masks import to_mask
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics

LARGEST_STRIDE = 64
"""Largest stride that is tried where a network sees a grid that its description does not tell of."""

POSITIONS = 2
"""Windows along each axis that are compared."""

FIXED_SHARE = 4
"""Share of a fixed window that is halo on each side, where nothing larger can be looked at to measure it."""


def know_foreign(ensemble: Ensemble, source: ImageSource, log: Callable[[str], None], *, measured: bool) -> None:
    """Log what is assumed of models that unetkit did not make, and give those without a halo one that was measured.

    It is measured on this image, or was on the first that the model ever saw.

    Args:
        ensemble: The models; their descriptions are changed.
        source: The image.
        log: Called with sentences for people.
        measured: Whether halos are needed.
    """
    for segmenter in ensemble.segmenters:
        for remark in segmenter.remarks:
            log(remark)
        segmenter.remarks = ()
        if segmenter.halo_known or not measured:
            continue
        foreign = segmenter.spec.foreign
        if foreign is not None and foreign.fixed:
            found, stride = _fixed_halo(foreign.smallest, foreign.stride), foreign.stride
            halo = in_words(found.halo)
            log(f"{ensemble.name} takes windows of one size only, so its halo cannot be measured: {halo} is used.")
        else:
            found, stride = _known(segmenter) or _measure(segmenter, ensemble, source, log)
        known = None if foreign is None else replace(foreign, halo_known=True, stride=stride)
        segmenter.spec = replace(segmenter.spec, halo=found.halo, halo_error=found.error, foreign=known)
        segmenter.halo_known = True


def _measure(
    segmenter: Segmenter, ensemble: Ensemble, source: ImageSource, log: Callable[[str], None]
) -> tuple[HaloMeasurement, tuple[int, ...]]:
    """Find the grid and measure the halo of a model, and remember them."""
    log(f"{ensemble.name} does not state its halo: it is measured on this image.")
    pixels = _middle(source, ensemble, plan_comparison(segmenter.spec.strides).canvas)
    (values,) = measure_plane(source, 0, [segmenter.normalizer], ensemble.channels)
    own = segmenter.spec.foreign is None  # then the stride is known
    stride = segmenter.spec.strides if own else find_stride(segmenter, pixels, values)
    if stride != segmenter.spec.strides:
        log(f"It sees the image on a grid of {in_words(one_if_equal(stride))} pixels, more than it states.")
        segmenter.spec = replace(segmenter.spec, foreign=replace(_foreign(segmenter), stride=stride))
    measured = measure_halo(segmenter, [(pixels, values.center, values.scale)], POSITIONS)
    log(f"Halo: {in_words(measured.halo)} pixels, which changes {measured.error:.2g} of the mask.")
    if measured.error > HALO_TOLERANCE:
        log("No halo is enough: the network sees whole windows, as some norms and attention do. Tiles show as seams.")
    if path := _file(segmenter):
        write_cache(path, {"halo": measured.halo, "error": measured.error, "stride": stride})
    return measured, stride


def find_stride(segmenter: Segmenter, pixels: NDArray[Any], values: Statistics) -> tuple[int, ...]:
    """Return the grid on which a network sees an image: moved by it, the image has the same mask.

    A network may take sizes that its own grid does not divide. Then windows that begin anywhere show as seams.

    Args:
        segmenter: The model, with the stride that it states.
        pixels: (C, ...) raw pixels.
        values: Their normalisation.

    Returns:
        The stride that it states, or the smallest of its doubles that does not change the mask. The former if none is
        found, as for networks that see whole windows.
    """
    stride = stated = segmenter.spec.strides
    while max(stride) <= LARGEST_STRIDE:
        # Windows of a size that all strides divide, where there is room: the network may refuse others.
        size = [
            (length - step) // LARGEST_STRIDE * LARGEST_STRIDE
            for length, step in zip(pixels.shape[1:], stride, strict=True)
        ]
        if any(length < 4 * step for length, step in zip(size, stride, strict=True)):
            break
        here, moved = (
            _mask(segmenter, pixels[:, *_window(start, size)], values) for start in ((0,) * len(size), stride)
        )
        inner = [slice(length // 4, length - length // 4) for length in size]
        same = tuple(slice(part.start - step, part.stop - step) for part, step in zip(inner, stride, strict=True))
        if (here[*inner] != moved[same]).mean() <= HALO_TOLERANCE:
            return stride
        stride = tuple(2 * step for step in stride)
    return stated


def _window(start: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(begin, begin + length) for begin, length in zip(start, size, strict=True))


def _mask(segmenter: Segmenter, pixels: NDArray[Any], values: Statistics) -> NDArray[Any]:
    """Return the mask (...) of raw pixels (C, ...), which may be of any size."""
    arrays = (np.ascontiguousarray(one[None], np.float32) for one in (pixels, values.center, values.scale))
    tensors = (torch.from_numpy(one).to(device_of(segmenter.network)) for one in arrays)
    with torch.inference_mode():
        probabilities = segmenter.eval()(*tensors)[0, : segmenter.spec.out_channels]
    return np.asarray(to_mask(probabilities, segmenter.spec.threshold).cpu())


def _foreign(segmenter: Segmenter) -> ForeignSpec:
    foreign = segmenter.spec.foreign
    assert foreign is not None, "a network of unetkit knows its halo"
    return foreign


def _middle(source: ImageSource, ensemble: Ensemble, size: tuple[int, ...]) -> NDArray[Any]:
    """Read the middle (C, ...) of the first plane or volume, as the network sees it."""
    seen = ensemble.see(source)
    starts = [max(length - most, 0) // 2 for length, most in zip(source.info.size, size, strict=True)]
    ends = [min(start + most, length) for start, most, length in zip(starts, size, source.info.size, strict=True)]
    return match_channels(np.asarray(seen.read(0, tuple(map(slice, starts, ends)))), ensemble.inputs, source.info.name)


def _fixed_halo(size: tuple[int, ...], stride: tuple[int, ...]) -> HaloMeasurement:
    """Return the halo of a network of one size: a share of it, in strides."""
    halo = tuple(length // FIXED_SHARE // step * step for length, step in zip(size, stride, strict=True))
    return HaloMeasurement(one_if_equal(halo), float("nan"))


def _file(segmenter: Segmenter) -> Path | None:
    """Return where the halo of a model is remembered; None for one that is no file."""
    return user_cache() / "halos" / f"{segmenter.sha256[:32]}.json" if segmenter.sha256 else None


def _known(segmenter: Segmenter) -> tuple[HaloMeasurement, tuple[int, ...]] | None:
    """Return the halo and stride that were measured before."""
    path = _file(segmenter)
    kept: Any = None if path is None else read_cache(path)
    try:
        halo: PerAxis = one_if_equal(per_axis(_numbers(kept["halo"]), segmenter.spec.dims))
        stride = per_axis(_numbers(kept["stride"]), segmenter.spec.dims)
        return HaloMeasurement(halo, float(kept["error"])), stride
    except (TypeError, KeyError, ValueError):
        return None


def _numbers(value: Any) -> PerAxis:
    """Return what JSON holds as one number or several."""
    return tuple(map(int, value)) if isinstance(value, list) else int(value)
