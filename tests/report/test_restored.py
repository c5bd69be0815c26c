from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from unetkit.foundation.errors import DataError
from unetkit.report.restored import GAP, HEAD, MARGIN, SIDE, restoration_picture


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_three_of_a_row_are_in_the_same_range_of_values(channels: int, tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32) * np.ones((channels, 64, 1), np.float32)
    path = tmp_path / "new" / "restored.png"
    restoration_picture(path, [(ramp, ramp / 2, ramp), (ramp * 9, ramp * 9, ramp * 9)])
    picture = cv2.imread(str(path)).astype(float)
    assert picture.shape == (HEAD + 2 * SIDE + GAP + MARGIN, 2 * MARGIN + 3 * SIDE + 2 * GAP, 3)
    means = [picture[HEAD : HEAD + SIDE, MARGIN + i * (SIDE + GAP) :][:, :SIDE].mean() for i in range(3)]
    assert means[0] == pytest.approx(means[2], abs=1)
    assert means[1] == pytest.approx(means[0] / 2, rel=0.05)


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no crop"):
        restoration_picture(tmp_path / "restored.png", [])
