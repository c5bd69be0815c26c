"""Pieces of objects are those of scikit-image."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.measure import label

from unetkit.objects.pieces import count_pieces
from unetkit.objects.runs import find_runs


@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_pieces_are_counted(mask: NDArray[np.bool_]) -> None:
    assert count_pieces(find_runs(mask.astype(np.uint8))) == label(mask, connectivity=2).max()
