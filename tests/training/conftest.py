"""Synthetic cells and a way to train on them in a second or two."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from tiny_fit import SETTINGS, Fit

from unetkit.cli import main
from unetkit.foundation.synthetic import write_dataset


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of 96 x 96 pixels with instance labels."""
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_dataset(folder, 5, 96, 0)
    return folder


@pytest.fixture(scope="session")
def fit_cells(cells: Path) -> Fit:
    """Train on the cells: fit_cells(runs, *more arguments) -> exit code, standard output."""

    def fit(runs: Path, *more: str) -> tuple[int, str]:
        arguments = ["fit", "--data.train", str(cells), *SETTINGS.split(), "--runs", str(runs), *more]
        with redirect_stdout(StringIO()) as out:
            code = main(arguments)
        return code, out.getvalue()

    return fit


@pytest.fixture(scope="module", autouse=True)
def halo_is_measured_soon(small_halo_canvas: None) -> None:
    """In all tests of training."""
