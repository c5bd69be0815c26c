"""What unetkit exports for other programs, and what these give back unchanged, is the same pixels again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from outlining import objects_of
from skimage.measure import label

from unetkit.annotations.formats import read_annotations
from unetkit.annotations.source import AnnotationSource
from unetkit.exporting.base import Scene
from unetkit.exporting.exporters import open_export
from unetkit.io.base.arrays import ArraySource


def sent_and_returned(path: Path, stack: NDArray[np.int64]) -> NDArray[np.int64]:
    """Export the objects of planes (z, h, w), read them back, and give each the number that it had."""
    scene = Scene("cells", "Z", (len(stack),)) if len(stack) > 1 else Scene("cells")
    with open_export(path, scene, warn=print, overwrite=True) as writer:
        for plane, rows in enumerate(stack):
            if (objects := objects_of(rows, plane)) is not None:
                writer.add(objects, {})
    info = ArraySource(stack if len(stack) > 1 else stack[0], "ZYX"[-2 - (len(stack) > 1) :]).info
    source = AnnotationSource(read_annotations(path, "cells"), info, "labels")
    whole = tuple(slice(0, side) for side in info.size)
    found = np.stack([source.read(plane, whole)[0] for plane in range(len(stack))]).astype(np.int64)
    own = np.zeros(found.max() + 1, np.int64)
    own[found] = stack
    return own[found]


@pytest.mark.parametrize("suffix", [".geojson", ".geojson.gz", ".zip"])
@pytest.mark.parametrize("planes", [1, 3])
def test_objects_with_holes_and_in_pieces_keep_their_pixels(suffix: str, planes: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(planes).random((planes, 60, 70))
    stack = np.stack([label(plane > 0.4, connectivity=2) + np.where(plane < 0.02, 1000, 0) for plane in noise])
    np.testing.assert_array_equal(sent_and_returned(tmp_path / f"out{suffix}", stack), stack)


@given(st.integers(0, 2**32), st.floats(0.05, 0.95))
@settings(max_examples=15, deadline=None)
def test_any_labels_come_back(seed: int, share: float) -> None:
    import tempfile

    labels = np.random.default_rng(seed).integers(0, 4, (12, 17)) * (
        np.random.default_rng(seed).random((12, 17)) < share
    )
    with tempfile.TemporaryDirectory() as folder:
        np.testing.assert_array_equal(sent_and_returned(Path(folder) / "out.geojson", labels[None])[0], labels)
