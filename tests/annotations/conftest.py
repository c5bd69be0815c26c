from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.foundation.synthetic import make_cells


@pytest.fixture(scope="module")
def labels() -> NDArray[np.uint16]:
    """Objects that touch, one with a hole, one in pieces."""
    labels = make_cells(96, 128, seed=3)[1].astype(np.uint16)
    labels[10:30, 10:30] = 200
    labels[15:20, 15:20] = 0
    labels[60:64, 0:9] = labels[80:90, 120:128] = 201
    return np.searchsorted(np.unique(labels), labels).astype(np.uint16)
