"""Label files are read in strips, each of their tiles decoded once for each reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from object_tables import blobs, last_rows_of

from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.objects import label_file
from unetkit.objects.label_file import LabelFile, as_labels


@pytest.mark.parametrize("least_cache", [1 << 12, 1 << 25])
def test_each_tile_is_decoded_once_in_a_reading(
    tmp_path: Path, least_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = blobs((128, 640), 3)
    tifffile.imwrite(tmp_path / "labels.tif", labels, tile=(64, 64), compression="zlib")
    monkeypatch.setattr(label_file, "LEAST_CACHE_BYTES", least_cache)
    monkeypatch.setattr(label_file, "STRIP_PIXELS", 640 * 8)  # a row of tiles is read in eight parts
    decoded: list[Any] = []
    decode = ChunkedArray._decode

    def counted(self: ChunkedArray, *arguments: Any) -> Any:
        decoded.append(arguments)
        return decode(self, *arguments)

    monkeypatch.setattr(ChunkedArray, "_decode", counted)
    file = LabelFile(tmp_path / "labels.tif")
    np.testing.assert_array_equal(np.concatenate([*file.strips(0)]), labels)
    file.close()
    assert len(decoded) == 2 * 10


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("labels", [blobs((50, 60), 1, 1.5), blobs((50, 60), 2, 1.5) % 7, blobs((50, 60), 3) * 0])
def test_the_last_row_of_each_object_is_found(
    tmp_path: Path, labels: NDArray[np.uint32], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_file, "STRIP_PIXELS", 60 * rows)
    tifffile.imwrite(tmp_path / "labels.tif", labels, rowsperstrip=1)
    file = LabelFile(tmp_path / "labels.tif")
    found, true = file.find_last_rows(0), last_rows_of(labels)
    file.close()
    np.testing.assert_array_equal(found.labels, true.labels)
    np.testing.assert_array_equal(found.rows, true.rows)


def test_labels_keep_their_type_but_for_fractions() -> None:
    for dtype in (np.uint8, np.uint16, np.int32, np.int64):
        assert as_labels(np.array([[0, 7]], dtype), "a").dtype == dtype
    assert as_labels(np.array([[0.0, 70000.0]], np.float32), "a").tolist() == [[0, 70000]]
    assert as_labels(np.array([[False, True]]), "a").tolist() == [[0, 1]]
