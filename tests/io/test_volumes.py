from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.space import Space
from unetkit.io.files import create_sink, open_image
from unetkit.io.volumes import DIMS_NOTE, as_items, dims_of

EYE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def test_a_stack_is_planes_unless_its_user_says_volume(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 9), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    info = open_image(path).info
    assert [dims_of(info, path, dims) for dims in (None, 2, 3)] == [2, 2, 3]
    assert as_items(open_image(path), path).info.size == (8, 9)
    assert as_items(open_image(path), path, 3).info.size == (4, 8, 9)
    with pytest.raises(ConfigError, match="dims is 4"):
        dims_of(info, path, 4)


@pytest.mark.parametrize("noted", [True, False])
def test_a_stack_that_a_model_of_volumes_made_is_a_volume(tmp_path: Path, noted: bool) -> None:
    path = tmp_path / "mask.tif"
    notes = ((DIMS_NOTE, "3"),) if noted else ()
    spec = OutputSpec((8, 9), np.dtype(np.uint8), plane_axes="Z", plane_shape=(4,), notes=notes)
    create_sink(path, spec).write(np.zeros((4, 1, 8, 9), np.uint8))
    assert dims_of(open_image(path).info, path) == (3 if noted else 2)


def test_an_image_with_a_place_in_a_scanner_is_a_volume() -> None:
    source = ArraySource(np.zeros((4, 8, 9), np.uint8), "ZYX", "array")
    assert dims_of(source.info, None) == 2
    assert dims_of(replace(source.info, space=Space(EYE)), None) == 3
    one = ArraySource(np.zeros((8, 9), np.uint8), "YX", "array")
    assert dims_of(replace(one.info, space=Space(EYE)), None) == 2


def test_a_plane_is_no_volume() -> None:
    with pytest.raises(ImageError, match="one plane"):
        as_items(ArraySource(np.zeros((8, 9), np.uint8), "YX", "array"), None, 3)
