from __future__ import annotations

import pytest

from unetkit.foundation.errors import ConfigError, DataError
from unetkit.scoring.lengths import Length, parse_length, shown_unit


@pytest.mark.parametrize(
    ("written", "shown"),
    [(2, "2 px"), (0.5, "0.5 px"), ("1mm", "1 mm"), (" 0.5 um", "0.5 µm"), ("50nm", "50 nm"), ("3px", "3 px")],
)
def test_distances_are_read_as_they_are_written(written: float | str, shown: str) -> None:
    assert str(parse_length(written)) == shown


@pytest.mark.parametrize("written", [-1, float("nan"), float("inf"), "one", "1cm", "", "-1mm"])
def test_what_is_no_distance_is_refused(written: float | str) -> None:
    with pytest.raises(ConfigError, match="tolerance is"):
        parse_length(written)


def test_distances_in_planes_are_in_pixels() -> None:
    assert Length(1.0, "µm").pixels((0.25, 0.25), "a") == 4
    assert Length(3.0, "px").pixels(None, "a") == 3
    with pytest.raises(DataError, match="does not say"):
        Length(1.0, "µm").pixels(None, "a")
    with pytest.raises(DataError, match=r"0\.5 x 0\.25"):
        Length(1.0, "µm").pixels((0.5, 0.25), "a")


def test_distances_in_volumes_are_in_their_unit() -> None:
    assert Length(2.0, "px").along((2.0, 0.5, 0.5), "µm") == 1
    assert Length(1.0, "mm").along((2.0, 0.5, 0.5), "µm") == 1000
    assert [shown_unit(sides, Length(2.0, "px")) for sides in (None, (2.0, 0.5, 0.5), (2000.0, 800.0, 800.0))] == [
        "px",
        "µm",
        "mm",
    ]
    assert shown_unit((2.0, 0.5, 0.5), Length(2.0, "nm")) == "nm"
