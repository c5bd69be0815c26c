"""napari as people see it: run by `tests/napari/test_window.py` in a process and on a screen of its own.

Arguments: the manifest, an image, a model, and a picture of the window that is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import napari
import npe2
from qtpy.QtWidgets import QApplication

PATIENCE_SECONDS = 200


def wait_for(condition: Callable[[], object]) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < end, "waited in vain"
        QApplication.processEvents()
        sleep(0.01)  # the run needs the interpreter too


def wait(seconds: float) -> None:
    end = monotonic() + seconds
    wait_for(lambda: monotonic() > end)


def main(manifest: str, image: str, model: str, picture: str) -> None:
    manager = npe2.PluginManager.instance()
    if "unetkit" not in manager:
        manager.register(npe2.PluginManifest.from_file(manifest), warn_disabled=False)
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1400, 900)
    viewer.open(image, plugin="napari")
    _, widget = viewer.window.add_plugin_dock_widget("unetkit", "Segment")
    widget.use_model(Path(model))
    widget.min_size.setValue(0)
    assert "torch" not in sys.modules
    widget.segment.click()
    wait_for(widget.segment.isEnabled)
    sys.stdout.write(f"status: {widget.status.text()}\n")
    widget.table.click()
    wait(0.5)
    viewer.screenshot(picture, canvas_only=False, flash=False)
    widget.tile.setValue(64)
    widget.segment.click()
    wait_for(lambda: widget.progress.value() > 0)
    added: list[str] = []
    viewer.layers.events.inserted.connect(lambda event: added.append(event.value.name))
    viewer.close()
    running = widget.running
    wait_for(lambda: not running.busy)
    assert not added
    sys.stdout.write("the run has ended\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
