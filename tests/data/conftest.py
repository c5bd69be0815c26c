from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder of 6 images of 16 bits, of two sizes, each with one small bright cell at another place."""
    rng = np.random.default_rng(0)
    for number in range(6):
        height, width = ((96, 128), (150, 100))[number % 2]
        labels = np.zeros((height, width), np.uint16)
        top, left = rng.integers(0, height - 12), rng.integers(0, width - 12)
        labels[top : top + 12, left : left + 12] = number + 1
        image = (rng.normal(1000, 50, labels.shape) + 4000 * (labels > 0)).astype(np.uint16)
        for folder, array in (("images", image), ("masks", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"cell{number}.tif", array)
    return tmp_path
