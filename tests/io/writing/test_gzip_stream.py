"""A gzip stream that threads make is one that every program reads."""

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.io.writing import gzip_stream
from unetkit.io.writing.gzip_stream import PIECE_BYTES


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3 * PIECE_BYTES // 2), max_size=3), st.integers(0, 255))
def test_it_is_one_member_whose_bytes_do_not_depend_on_the_cuts(sizes, value):
    parts = [np.full(size, (value + i) % 256, np.uint8) for i, size in enumerate(sizes)]
    whole = np.concatenate([np.empty(0, np.uint8), *parts])
    made = b"".join(gzip_stream.gzip_stream(parts, 1))
    assert gzip.decompress(made) == whole.tobytes()
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    inflate.decompress(made)
    assert inflate.eof
    assert not inflate.unused_data
    assert b"".join(gzip_stream.gzip_stream([whole], 1)) == made


def test_an_error_of_what_is_compressed_passes_through():
    def parts():
        yield np.zeros(10, np.uint8)
        raise KeyError("of the parts")

    with pytest.raises(KeyError):
        list(gzip_stream.gzip_stream(parts(), 1))
