"""The options of a run: `unetkit.inference.tiling.options`."""

from __future__ import annotations

from typing import Any

import pytest

from unetkit.backends.registry import backend_names, backends_in
from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.options import OutputOptions, TilingOptions, parse_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GB", 2**30),
        ("1 gb", 2**30),
        ("1GiB", 2**30),
        ("1.5G", 3 * 2**29),
        ("800MB", 800 * 2**20),
        (" 800 M ", 800 * 2**20),
        ("2T", 2**41),
        ("64k", 2**16),
        ("123456", 123456),
        ("512B", 512),
    ],
)
def test_memory_is_read_as_people_write_it(text: str, size: int) -> None:
    assert parse_memory(text) == size
    assert TilingOptions(memory=text).memory_bytes == size


@pytest.mark.parametrize(
    "text", ["", "GB", "0", "0GB", "0.0001B", "-1GB", "1,5GB", "1PB", "1 GB RAM", "nan", "1e9", "٣x"]
)
def test_what_is_no_amount_of_memory_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="no amount of memory") as caught:
        TilingOptions(memory=text)
    assert "1GB" in caught.value.remedy


def test_by_default_memory_has_no_bound() -> None:
    assert TilingOptions().memory_bytes is None


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"tile": 0}, "tile: 0"),
        ({"tile": -32}, "tile: -32"),
        ({"tile": "large"}, "tile: large"),
        ({"tile": 512.0}, "tile: 512.0"),
        ({"batch": 0}, "batch: 0"),
        ({"backend": "tensorrt"}, "backend: 'tensorrt'"),
        ({"precision": "fp8"}, "precision: 'fp8'"),
        ({"precision": "int8", "backend": "torch"}, "torch does not compute in int8"),
    ],
)
def test_an_impossible_way_to_predict_is_an_error(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TilingOptions(**options)
    assert names in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"output": "contours"}, "output: 'contours'"),
        ({"threshold": 0.0}, "threshold: 0"),
        ({"threshold": 1.0}, "threshold: 1"),
        ({"threshold": float("nan")}, "threshold: nan"),
        ({"split": True}, "split has no meaning"),
        ({"split": True, "output": "probabilities"}, "split has no meaning"),
        ({"close": 0.2}, "close has no meaning"),
        ({"close": 1.0, "output": "labels"}, "close: 1"),
        ({"close": 0.2, "split": True, "output": "labels"}, "two ways"),
    ],
)
def test_an_impossible_result_is_an_error(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OutputOptions(**options)
    assert names in caught.value.problem
    assert caught.value.remedy


def test_the_help_names_the_backends_that_compute_in_int8() -> None:
    said = str(TilingOptions.__doc__).partition("precision:")[2].partition("memory:")[0].lower()
    assert [name for name in backend_names() if name in said] == backends_in("int8")


def test_int8_is_possible_where_openvino_is_chosen_or_left_open() -> None:
    assert TilingOptions(precision="int8").backend == "auto"
    assert TilingOptions(precision="int8", backend="openvino").backend == "openvino"
    assert OutputOptions(output="labels", split=True).split
