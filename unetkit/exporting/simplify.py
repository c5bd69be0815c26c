"""Outlines with fewer corners, which are still valid polygons."""

from __future__ import annotations

import numpy as np

from unetkit.foundation.errors import ConfigError
from unetkit.objects.outlines import Outlines


def check_installed() -> None:
    """Check that shapely is there.

    Raises:
        ConfigError: It is not.
    """
    try:
        import shapely  # noqa: F401
    except ImportError:
        raise ConfigError(
            "Simpler outlines need the package shapely.", "Run `pip install unetkit[annotations]`."
        ) from None


def simplify_outlines(outlines: Outlines, tolerance: float) -> Outlines:
    """Leave out corners of outlines that are nearer than a tolerance to the simpler outline.

    Each object is simplified by itself, by the algorithm of Douglas and Peucker that keeps rings apart (GEOS): the
    corners that stay are corners of the exact outline, and no piece and no hole is lost.

    Args:
        outlines: Exact outlines.
        tolerance: Distance in pixels.
    """
    import shapely

    exact = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON,
        outlines.points.astype(np.float64),
        (outlines.rings, outlines.pieces, outlines.objects),
    )
    simple = shapely.simplify(exact, tolerance, preserve_topology=True)
    _, points, (rings, pieces, *more) = shapely.to_ragged_array(simple)
    objects = more[0] if more else np.arange(len(outlines) + 1)  # GEOS makes a polygon of each object of one piece
    return Outlines(points.astype(np.int32), rings, pieces, objects)
