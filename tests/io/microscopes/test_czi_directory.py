"""The directory of a CZI against what Zeiss' library says of it, and damaged files that would end the process there."""

import struct

import numpy as np
import pytest
from czi_files import entries, write_czi
from pylibCZIrw import czi

from unetkit.foundation.errors import ImageError
from unetkit.io.files import list_series, open_image
from unetkit.io.microscopes.czi_directory import read_directory

PIXELS = np.random.default_rng(0).integers(0, 250, (2, 100, 120)).astype(np.uint16)


@pytest.fixture
def path(tmp_path):
    tiles = [(PIXELS[c], {"C": c, "Z": 3}, (-9, 7), 0) for c in range(2)]
    return write_czi(tmp_path / "a.czi", tiles, pyramid=[(PIXELS[0][::2, ::2], {"C": 0, "Z": 3}, (-9, 7), 2)])


def spoil(path, number, offset, layout, value):
    """Write a value at an offset from an entry: 0 is the first tile in the directory, 1 in the tile itself, ..."""
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, list(entries(data))[number] + offset, value)
    path.write_bytes(data)


def read(path):
    source = open_image(path)
    try:
        return source.read(0, (slice(0, 100), slice(0, 120)))
    finally:
        source.close()


def test_it_says_what_zeiss_library_says(path):
    found = []
    with czi.open_czi(str(path)) as reader:
        reader.enumerate_subblocks(lambda _, tile: (found.append(tile), True)[1])
    directory = read_directory(path)
    expected = []
    for tile in found:
        frame, size = tile.logicalRect, tile.physicalSize
        place = sorted(tile.coordinate.to_dict().items())
        expected.append(([frame.x, frame.y, frame.w, frame.h], round(1 / tile.get_zoom()), [size.w, size.h], place))
    ours = [
        (
            directory.frames[i].tolist(),
            int(directory.factors[i]),
            directory.stored[i][1:].tolist(),
            sorted((axis, int(places[i])) for axis, places in directory.places.items()),
        )
        for i in range(len(directory.at))
    ]
    assert len(found) == 3
    assert sorted(ours) == sorted(expected)
    assert directory.first("Z") == 3
    assert directory.reductions(0) == [2]
    (touched,) = directory.touched((100, 0, 10, 10), {"C": 1})
    assert directory.places["C"][touched] == 1
    assert directory.touched((127, 0, 10, 10), {}).tolist() == []


@pytest.mark.parametrize(
    ("number", "offset", "layout", "value", "problem"),
    [
        (1, -8, "<q", 2**40, "damaged, or the file is cut off"),  # bytes of pixels
        (1, -8, "<q", -1, "is damaged"),
        (1, -8, "<q", 99, "too few pixels"),
        (1, -48, "<4s", b"JUNK", "is damaged"),  # kind of the segment
        (1, 48, "<i", 2**30, "another than the directory says"),  # width
        (1, 18, "<i", 6, "another than the directory says"),  # compression
        (1, 28, "<i", 1000, "entry"),  # number of dimensions
        (0, 6, "<q", 2**40, "beyond the end of the file"),  # place in the file
        (0, 14, "<i", 1, "lies in another file"),
        (0, 40, "<i", -5, "no width or height"),
        (0, 28, "<i", 10**9, "an entry in the directory"),
        (0, 32 + 20 * 3 + 4, "<i", 2**31 - 1, "is at position"),  # along an axis
    ],
)
def test_a_damaged_tile_is_an_error_before_zeiss_library_sees_it(path, number, offset, layout, value, problem):
    np.testing.assert_array_equal(read(path), PIXELS)
    spoil(path, number, offset, layout, value)
    with pytest.raises(ImageError, match=problem):
        read(path)
    if number == 1:
        assert list_series(path)


def test_a_directory_that_is_no_directory_is_an_error(path):
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<q", data, 84)
    for value in (at + 8, -1, 2**50):
        struct.pack_into("<q", data, 84, value)
        path.write_bytes(data)
        with pytest.raises(ImageError, match="cannot be read as Zeiss CZI"):
            list_series(path)
