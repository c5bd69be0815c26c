"""napari's real window, drawn by Mesa on a screen in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imread

import unetkit

SCRIPT = Path(__file__).parents[1] / "support" / "napari_window.py"


def test_labels_and_their_table_are_seen_and_closing_the_window_ends_a_run(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("napari", exc_type=ImportError)
    if not all(map(shutil.which, ("xvfb-run", "xauth"))):
        pytest.skip("needs xvfb-run and xauth")
    pixels = np.random.default_rng(0).random((256, 256)).astype(np.float32)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    arguments = [files("unetkit.napari") / "napari.yaml", tmp_path / "cells.tif", tiny_model, tmp_path / "window.png"]
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    run = subprocess.run(
        [*screen, sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": str(Path(unetkit.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    if 'Could not load the Qt platform plugin "xcb"' in run.stderr:
        pytest.skip("needs the libraries of Qt's platform xcb, such as libxcb-cursor0")
    assert run.returncode == 0, run.stdout + run.stderr
    count = unetkit.predict_tiled(pixels, tiny_model, output="labels", min_size=0).max()
    assert f"status: {count} objects in " in run.stdout
    assert run.stdout.endswith("the run has ended\n")
    window = imread(tmp_path / "window.png")[..., :3]
    colours = window[np.ptp(window.astype(int), axis=2) > 60]
    assert len(np.unique(colours // 32, axis=0)) > 20, "no labels are seen"
