"""napari without a screen: its layers and its viewer's model are real, only the canvas is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

PATIENCE_SECONDS = 30


@pytest.fixture(autouse=True, scope="session")
def no_screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Qt draws into memory, and napari keeps its settings where no user has any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QT_QPA_PLATFORM", "offscreen")
        patch.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "settings.yaml"))
        yield


@pytest.fixture
def viewer(no_screen: None) -> Any:
    """The model of a viewer."""
    components = pytest.importorskip("napari.components", exc_type=ImportError)
    return components.ViewerModel()


@pytest.fixture
def wait_for(no_screen: None) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Lets Qt work until something is true."""
    widgets = pytest.importorskip("qtpy.QtWidgets", exc_type=ImportError)
    app = widgets.QApplication.instance() or widgets.QApplication([])

    def wait(condition: Callable[[], object]) -> None:
        end = monotonic() + PATIENCE_SECONDS
        while not condition():
            assert monotonic() < end, "waited in vain"
            app.processEvents()
            sleep(0.005)  # the run needs the interpreter too

    yield wait
    app.processEvents()


@pytest.fixture
def widget(viewer: Any, tiny_model: Path, wait_for: object) -> Iterator[Any]:
    """The widget, with a tiny model chosen."""
    module = pytest.importorskip("unetkit.napari.widget", exc_type=ImportError)
    made = module.SegmentWidget(viewer)
    for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
        event.connect(made.reset_choices)
    made.use_model(tiny_model)
    yield made
    made.running.close()
    for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
        event.disconnect(made.reset_choices)
