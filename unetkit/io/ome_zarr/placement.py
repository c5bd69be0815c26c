"""Where the pixels of an OME-Zarr image lie: its axes, and scale and translation of each level.

Up to version 0.5 an image lists its axes once, and what it says of all levels comes after what it says of each. Since
0.6 (RFC 5 of OME-NGFF) the axes are those of a coordinate system. The transformation of a level leads from its array
into one of the systems. Those of the whole image lead from there into others, which are not followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

OLD_AXES = ("t", "c", "z", "y", "x")
"""The axes of all images before version 0.3."""

SYSTEMS = "coordinateSystems"


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a level lie: along each axis at `scale` times their number, plus `translation`.

    Attributes:
        scale: One number for each axis, in its unit.
        translation: One number for each axis, in its unit: where the centre of the first pixel is.
    """

    scale: tuple[float, ...]
    translation: tuple[float, ...]


def describe_axes(multiscale: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the axes of an image: a name for each, and a type and a unit where they are given.

    Args:
        multiscale: An entry of "multiscales".
    """
    axes = _system(multiscale)["axes"] if SYSTEMS in multiscale else multiscale.get("axes", OLD_AXES)
    return [one if isinstance(one, dict) else {"name": one} for one in axes]


def place_level(multiscale: dict[str, Any], dataset: dict[str, Any], axes: int) -> Placement | None:
    """Return where the pixels of a level lie; None where it has no scale, or is turned or bent.

    Args:
        multiscale: An entry of "multiscales".
        dataset: An entry of its "datasets".
        axes: Number of its axes.
    """
    places = (dataset,) if SYSTEMS in multiscale else (dataset, multiscale)
    scale, translation, scaled = [1.0] * axes, [0.0] * axes, False
    for one in _flatten(step for place in places for step in place.get("coordinateTransformations") or []):
        kind = one.get("type")
        if kind == "scale" and "scale" in one:
            factors = [float(one["scale"][i]) for i in range(axes)]
            scale = [size * factor for size, factor in zip(scale, factors, strict=True)]
            translation = [shift * factor for shift, factor in zip(translation, factors, strict=True)]
            scaled = True
        elif kind == "translation" and "translation" in one:
            translation = [shift + float(one["translation"][i]) for i, shift in enumerate(translation)]
        elif SYSTEMS in multiscale:
            if kind != "identity":
                return None
            scaled = True
    return Placement(tuple(scale), tuple(translation)) if scaled else None


def _flatten(transformations: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield transformations in the order in which they are applied, those of sequences one by one."""
    for one in transformations:
        if one.get("type") == "sequence":
            yield from _flatten(one["transformations"])
        else:
            yield one


def _system(multiscale: dict[str, Any]) -> dict[str, Any]:
    """Return the coordinate system into which the levels lead; the first one where they do not say."""
    systems: list[dict[str, Any]] = multiscale[SYSTEMS]
    steps = multiscale["datasets"][0].get("coordinateTransformations") or [{}]
    output = steps[-1].get("output")
    name = output.get("name") if isinstance(output, dict) else output
    return next((one for one in systems if one.get("name") == name), systems[0])
