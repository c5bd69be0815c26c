"""The examples in docstrings hold."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import unetkit

ROOT = Path(unetkit.__file__).parents[1]
EXAMPLE = re.compile(r"^ *>>> ", re.MULTILINE)
LINES = {path: len(EXAMPLE.findall(path.read_text(encoding="utf-8"))) for path in ROOT.glob("unetkit/**/*.py")}
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): lines for path, lines in LINES.items() if lines}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_examples_in_docstrings_hold(name: str) -> None:
    module = import_module(name)
    found = sum(len(each.examples) for each in doctest.DocTestFinder().find(module))
    assert found == MODULES[name], "an example stands where doctest does not look"
    assert doctest.testmod(module).failed == 0
