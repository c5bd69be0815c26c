"""Chunks of a Zarr that cannot be read for a reason that is not in them."""

import numpy as np
import pytest
import zarr

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image


@pytest.mark.parametrize(
    "fault", [OSError("Input/output error"), ImportError("no such codec"), MemoryError("too large")]
)
def test_a_failing_disk_a_missing_codec_and_little_memory_stop_even_where_bad_chunks_do_not(
    tmp_path, monkeypatch, fault
):
    zarr.save_array(tmp_path / "a.zarr", np.ones((8, 9), np.uint8))
    source = open_image(tmp_path / "a.zarr", ReadOptions(on_bad_tile="background"))

    def fail(self, box):
        raise fault

    monkeypatch.setattr(zarr.Array, "__getitem__", fail)
    with pytest.raises(ImageError, match=rf"the chunk at Y 0, X 0: {fault}"):
        source.read(0, (slice(0, 8), slice(0, 9)))
    assert source.bad_tiles == []
