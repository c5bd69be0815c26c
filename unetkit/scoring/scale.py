"""How large the pixels of planes and the voxels of volumes are, and in which unit distances are given."""

from __future__ import annotations

from dataclasses import dataclass

from unetkit.foundation.errors import ConfigError, DataError
from unetkit.io.base.contracts import ImageSource
from unetkit.io.base.units import UNITS_UM
from unetkit.io.views.volume import VolumeSource
from unetkit.scoring.given import GivenMask, OpenMask
from unetkit.scoring.lengths import PIXELS, shown_unit, unknown_size
from unetkit.scoring.settings import Settings


@dataclass(frozen=True)
class Scale:
    """The unit of distances in volumes.

    Attributes:
        settings: How masks are compared.
        unit: "px", "nm", "µm" or "mm"; the same for all volumes.
    """

    settings: Settings
    unit: str

    def sides(self, predicted: OpenMask, true: OpenMask) -> tuple[float, float, float]:
        """Return the sides (z, y, x) of a voxel in the unit; 1 each in pixels.

        Raises:
            DataError: They are not known, while those of other volumes are.
        """
        sides = _voxel_um(predicted.source, true.source, self.settings)
        if sides is None and self.unit != PIXELS:
            raise unknown_size(true.info.name, self.settings.reach)
        if sides is not None and self.unit == PIXELS:
            raise DataError(
                f"{true.info.name} says how large its voxels are, but other volumes do not.",
                "Give --pixel-size-um for all of them.",
            )
        if sides is None:
            return (1.0, 1.0, 1.0)
        z, y, x = (side / UNITS_UM[self.unit] for side in sides)
        return (z, y, x)


def find_scale(prediction: GivenMask, truth: GivenMask, settings: Settings) -> Scale | None:
    """Return the unit of distances where masks are compared as volumes, None where they are planes.

    Args:
        prediction: The first prediction.
        truth: Its truth.
        settings: How masks are compared.

    Raises:
        ImageError: A file cannot be read, or has no axis that can be Z.
        DataError: A tolerance in a unit of length is asked for, and voxels have no known size.
    """
    if settings.dims == 2:
        return None
    with prediction.opened() as predicted, truth.opened() as true:
        if settings.dims is None and not prediction.is_volume(predicted) and not truth.is_volume(true):
            return None
        sides = _voxel_um(predicted, true, settings)
        unit = shown_unit(sides, settings.reach)
        if sides is None and unit != PIXELS:
            raise unknown_size(true.info.name, settings.reach)
        return Scale(settings, unit)


def plane_sides(predicted: OpenMask, true: OpenMask, settings: Settings) -> tuple[float, ...] | None:
    """Return the size of a pixel (y, x) of a plane in µm, if it is known."""
    given = settings.sides_um
    if given is not None:
        return (given[0], given[0]) if len(given) == 1 else given[-2:]
    return true.info.pixel_size_um or predicted.info.pixel_size_um


def _voxel_um(predicted: ImageSource, true: ImageSource, settings: Settings) -> tuple[float, ...] | None:
    """Return the sides (z, y, x) of a voxel in µm: those that the user gave, or of the truth, or of the prediction."""
    given = settings.sides_um
    if given is None:
        return VolumeSource(true).info.pixel_size_um or VolumeSource(predicted).info.pixel_size_um
    if len(given) == 2:
        raise ConfigError("A pixel size of two numbers is that of planes.", "Give three for volumes: z,y,x.")
    return given * 3 if len(given) == 1 else given
