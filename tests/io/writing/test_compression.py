"""Pixels come back from their compression."""

import numpy as np
import pytest

from unetkit.io.writing.compression import compress, decompress


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 300, 401)])
def test_pixels_come_back_and_masks_become_small(dtype, size):
    pixels = (np.random.default_rng(0).random(size) * 255).astype(dtype)
    assert decompress(compress(pixels[:, ::2])) == pixels[:, ::2].tobytes()
    mask = np.zeros(size, dtype)
    mask[:, :100] = 1
    assert decompress(compress(mask)) == mask.tobytes()
    assert len(compress(mask)) < mask.nbytes / 10 + 100
