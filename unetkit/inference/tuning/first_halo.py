"""The halo of models that came without one: measured on the first image that they see, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.foundation.user_cache import user_cache
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.tiling.grid import PerAxis, one_if_equal, per_axis
from unetkit.inference.tiling.halo import HALO_TOLERANCE, HaloMeasurement, measure_halo, plan_comparison
from unetkit.inference.tiling.windows import measure_plane
from unetkit.io.base.contracts import ImageSource, match_channels
from unetkit.models.segmenter import Segmenter

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
        foreign = segmenter.spec.foreign
        for remark in () if foreign is None else foreign.remarks:
            log(remark)
        if foreign is None or foreign.halo_known or not measured:
            continue
        if foreign.fixed:
            found, stride = _fixed_halo(foreign.smallest, foreign.stride), foreign.stride
            log(
                f"{ensemble.name} takes windows of one size only, so its halo cannot be measured: {found.halo} is used."
            )
        else:
            found, stride = _known(segmenter) or _measure(segmenter, ensemble, source, log)
        known = replace(foreign, halo_known=True, stride=stride)
        segmenter.spec = replace(segmenter.spec, halo=found.halo, halo_error=found.error, foreign=known)


def _measure(
    segmenter: Segmenter, ensemble: Ensemble, source: ImageSource, log: Callable[[str], None]
) -> tuple[HaloMeasurement, tuple[int, ...]]:
    """Measure the halo, with larger strides where it is not enough, and remember it."""
    log(f"{ensemble.name} does not state its halo: it is measured on this image.")
    pixels = _middle(source, ensemble, plan_comparison(segmenter.spec.strides).canvas)
    (values,) = measure_plane(source, 0, [segmenter.normalizer], ensemble.channels)
    stride = segmenter.spec.strides
    best = None
    while True:
        measured = measure_halo(segmenter, [(pixels, values.center, values.scale)], POSITIONS)
        if best is None or measured.error < best[0].error:
            best = measured, stride
        if measured.error <= HALO_TOLERANCE or 2 * max(stride) > LARGEST_STRIDE:
            break
        stride = tuple(2 * step for step in stride)
        segmenter.spec = replace(segmenter.spec, foreign=replace(segmenter.spec.foreign, stride=stride))  # type: ignore[type-var]
    log(f"Halo: {best[0].halo} pixels, which changes {best[0].error:.2g} of the mask.")
    if best[0].error > HALO_TOLERANCE:
        log(
            "No halo is enough: the network sees whole windows, as some norms and attention do, so tiles show as seams."
        )
    if path := _file(segmenter):
        write_cache(path, {"halo": best[0].halo, "error": best[0].error, "stride": best[1]})
    return best


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
    kept = None if path is None else read_cache(path)
    try:
        halo: PerAxis = one_if_equal(per_axis(_numbers(kept["halo"]), segmenter.spec.dims))
        stride = per_axis(_numbers(kept["stride"]), segmenter.spec.dims)
        return HaloMeasurement(halo, float(kept["error"])), stride
    except (TypeError, KeyError, ValueError):
        return None


def _numbers(value: Any) -> PerAxis:
    """Return what JSON holds as one number or several."""
    return tuple(map(int, value)) if isinstance(value, list) else int(value)
