from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr

from unetkit.io.ome_zarr.pyramid import is_stored


@pytest.mark.parametrize("version", [2, 3])
def test_what_zarr_would_read_as_zeros_is_known_without_zarr(tmp_path: Path, version: Literal[2, 3]) -> None:
    group = zarr.open_group(str(tmp_path / "out.zarr"), mode="w", zarr_format=version)
    array: Any = group.create_array("0", shape=(3, 10, 14), chunks=(1, 4, 4), dtype="u1", fill_value=0)
    array[1, 5, 9] = 7
    pixels = np.asarray(array[:])
    rng = np.random.default_rng(0)
    for _ in range(60):
        plane = int(rng.integers(3))
        top, left = (int(4 * rng.integers(count)) for count in (3, 4))
        index = (plane, slice(top, min(top + 8, 10)), slice(left, min(left + 4, 14)))
        assert is_stored(array, index) == pixels[index].any(), index
