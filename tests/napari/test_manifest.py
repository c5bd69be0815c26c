"""What napari is told of the plug-in, without loading more than it needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

MANIFEST = Path(str(files("unetkit.napari") / "napari.yaml"))

LIGHT = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from npe2 import PluginManager, PluginManifest
manager = PluginManager.instance()
manager.register(PluginManifest.from_file(sys.argv[1]), warn_disabled=False)
import numpy, napari.components
from qtpy.QtWidgets import QApplication
app = QApplication([])
viewer = napari.components.ViewerModel()
make = manager.get_manifest("unetkit").contributions.widgets[0].get_callable()
widget = make(viewer)
viewer.layers.events.inserted.connect(widget.reset_choices)
viewer.add_image(numpy.zeros((9, 9)))
assert widget.image.value is viewer.layers[0]
from unetkit.napari.layers import take_picture
take_picture(viewer, widget.image.value)
print("LOADED", *{"torch", "lightning", "cv2", "segmentation_models_pytorch"} & set(sys.modules))
"""


@pytest.fixture
def npe2() -> object:
    pytest.importorskip("napari", exc_type=ImportError)
    return pytest.importorskip("npe2", exc_type=ImportError)


def test_the_manifest_is_valid_and_all_that_it_names_is_there(npe2: object) -> None:
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    assert manifest.name == "unetkit"
    manifest.validate_imports()


def test_the_entry_point_names_the_manifest() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["entry-points"]["napari.manifest"]["unetkit"].partition(":")
    assert files(module) / name == MANIFEST
    assert MANIFEST.is_file()
    assert "Framework :: napari" in project["classifiers"]


def test_neither_the_manifest_nor_the_widget_nor_a_layer_loads_torch(npe2: object) -> None:
    run = subprocess.run([sys.executable, "-c", LIGHT, str(MANIFEST)], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "LOADED", run.stdout + run.stderr
