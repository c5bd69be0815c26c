"""The user's choices of what is written of each object: plain data that a command's help imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unetkit.objects.ring_width import parse_ring


@dataclass(frozen=True)
class ObjectOptions:
    """What is written of each object, for labels.

    Args:
        table: Table (.csv or .parquet) with a row for each object: place, size, shape, intensities of all channels; for
            several images a folder, which gets a .csv for each, and summary.csv with a row for each image.
        geojson: Outlines and measurements for QuPath (.geojson or .geojson.gz); for several images a folder.
        rois: Regions for ImageJ and Fiji (.zip); for several images a folder.
        ring: For table and geojson: measure intensities also in a ring around each object: its width, in µm ("5um") or
            in pixels ("10").
    """

    table: Path | None = None
    geojson: Path | None = None
    rois: Path | None = None
    ring: str | None = None

    def __post_init__(self) -> None:
        for name in FILES:
            value = getattr(self, name)
            if isinstance(value, str):  # from Python
                object.__setattr__(self, name, Path(value))
        if self.ring is not None:
            object.__setattr__(self, "ring", str(self.ring))  # a number, from Python
            parse_ring(self.ring)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the files that are asked for."""
        return tuple(name for name in FILES if getattr(self, name) is not None)


FILES = {"table": ".csv", "geojson": ".geojson.gz", "rois": ".zip"}
"""Files of objects, each with the suffix that it has in a folder."""

NO_OBJECTS = ObjectOptions()
"""Nothing but the labels."""
