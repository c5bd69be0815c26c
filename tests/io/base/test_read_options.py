"""The choices of what is read: numbers from strings and sequences, and what has no meaning."""

import dataclasses

import numpy as np
import pytest

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.read_options import ReadOptions


@pytest.mark.parametrize("channels", ["0,2", " 0 , 2 ", [0, 2], (0, 2), np.array([0, 2])])
def test_channels_become_numbers(channels):
    assert ReadOptions(channels=channels).channels == (0, 2)


@pytest.mark.parametrize("region", ["5,0,10,20", [5, 0, 10, 20], "5, 0, 10, 20"])
def test_a_region_becomes_four_numbers(region):
    assert ReadOptions(region=region).region == (5, 0, 10, 20)


def test_a_single_channel_is_a_tuple_too_and_replacing_keeps_all_values():
    reading = dataclasses.replace(ReadOptions(channels="1", region="0,0,1,1"), axes="YX")
    assert (reading.channels, reading.region, reading.axes) == ((1,), (0, 0, 1, 1), "YX")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"channels": ""}, "does not name channels"),
        ({"channels": []}, "does not name channels"),
        ({"channels": "0,-1"}, "'0,-1'"),
        ({"channels": "red,"}, "'red,'"),
        ({"channels": ["red", ""]}, "'red,'"),
        ({"channels": [0.5]}, "0.5"),
        ({"region": "1,2,3"}, "'1,2,3' is no region"),
        ({"region": "0,0,0,5"}, "no region"),
        ({"region": "0,0,0,5,5"}, "no region"),
        ({"region": "0,0,0,0,5,5"}, "no region"),
        ({"region": [-1, 0, 5, 5]}, "'-1,0,5,5'"),
        ({"region": "a,b,c,d"}, "no region"),
        ({"series": -1}, "series -1"),
        ({"level": -2}, "level -2"),
        ({"pixel_size": 0.0}, "pixel size"),
        ({"pixel_size": float("nan")}, "pixel size"),
        ({"pixel_size": "1,0"}, "A pixel size of 1,0 has no meaning"),
        ({"pixel_size": "1,1,1,1"}, "pixel size"),
        ({"pixel_size": "2 apples"}, "pixel size"),
        ({"pixel_size": "1mm,500,500"}, "have a unit, and others have none"),
        ({"level": 1, "pixel_size": 0.5}, "both"),
        ({"level": 1, "pixel_size": "2,0.5,0.5"}, "pixel size 2,0.5,0.5 µm are both given"),
        ({"on_bad_tile": "ignore"}, "'ignore'"),
    ],
)
def test_what_has_no_meaning_is_a_config_error(options, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        ReadOptions(**options)
    assert caught.value.remedy.endswith(".")


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (None, ()),
        (2, (2.0,)),
        ("0.5", (0.5,)),
        ("1e-3", (0.001,)),
        ("2,0.5,0.5", (2.0, 0.5, 0.5)),
        ("1mm, 0.5 mm,500µm", (1000.0, 500.0, 500.0)),
        ("3,0.8,0.8mm", (3000.0, 800.0, 800.0)),
        ([50, 4, 4], (50.0, 4.0, 4.0)),
    ],
)
def test_a_pixel_size_is_one_number_or_one_for_each_axis_in_any_unit(given, sizes):
    assert ReadOptions(pixel_size=given).pixel_sizes == pytest.approx(sizes)
