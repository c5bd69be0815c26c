"""The widget does what its buttons say, and says what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

import unetkit

RANDOM = np.random.default_rng(0)

Wait = Callable[[Callable[[], object]], None]


@pytest.fixture
def said() -> Iterator[list[tuple[str, str]]]:
    """Severity and message of what napari shows to the user from now on."""
    from napari.utils.notifications import notification_manager

    shown: list[tuple[str, str]] = []
    show = lambda note: shown.append((str(note.severity), note.message))  # noqa: E731
    notification_manager.notification_ready.connect(show)
    yield shown
    notification_manager.notification_ready.disconnect(show)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Keeps a run from going on until it is set."""
    from unetkit.napari import run

    event, load = Event(), run.load_kept

    def load_later(*arguments: Any) -> Any:
        assert event.wait(30)
        return load(*arguments)

    monkeypatch.setattr(run, "load_kept", load_later)
    return event


def test_segment_adds_a_labels_layer_over_the_image(
    viewer: Any, widget: Any, tiny_model: Path, wait_for: Wait, said: list[Any]
) -> None:
    assert widget.image.value is None
    image = viewer.add_image(RANDOM.random((96, 80)), name="cells", scale=(2, 3))
    assert widget.image.value is image
    widget.min_size.setValue(0)
    widget.segment.click()
    assert not widget.segment.isEnabled()
    assert widget.cancel.isEnabled()
    wait_for(widget.segment.isEnabled)
    (made,) = viewer.layers[1:]
    assert made.name == "tiny of cells"
    np.testing.assert_array_equal(made.scale, (2, 3))
    expected = unetkit.predict_tiled(image.data, tiny_model, output="labels", min_size=0)
    np.testing.assert_array_equal(made.data, expected)
    assert len(made.features) == expected.max() + 1
    assert widget.status.text().startswith(f"{expected.max()} objects in ")
    assert widget.table.isEnabled()
    assert not widget.cancel.isEnabled()
    assert not said


def test_only_choices_with_a_meaning_are_shown(viewer: Any, widget: Any) -> None:
    def shown() -> tuple[bool, bool]:
        return not widget.shapes.native.isHidden(), not widget.planes.native.isHidden()

    assert shown() == (False, False)
    viewer.add_image(np.zeros((20, 30, 3)), rgb=True)
    widget.region.value = "rectangle"
    assert shown() == (True, False)
    widget.image.value = viewer.add_image(np.zeros((5, 20, 30)))
    assert shown() == (True, True)


def test_choices_go_to_the_run(widget: Any, tiny_model: Path) -> None:
    assert widget.choices.tiling == {"halo": None, "tile": "auto", "device": "auto", "tta": False}
    assert (widget.choices.min_size, widget.halo.text()) == (None, "auto")
    for box, value in ((widget.halo, 0), (widget.tile, 64), (widget.min_size, 9)):
        box.setValue(value)
    widget.device.value = "cpu"
    widget.tta.setChecked(True)
    widget.measure.setChecked(False)
    widget.output.value = "mask"
    choices = widget.choices
    assert choices.tiling == {"halo": 0, "tile": 64, "device": "cpu", "tta": True}
    assert (choices.model, choices.output, choices.measure, choices.min_size) == (str(tiny_model), "mask", False, 9)


@pytest.mark.parametrize(
    ("arguments", "region", "sentences"),
    [
        (None, "whole", ("There is no image layer.", "Open an image")),
        ({"data": np.zeros((64, 64))}, "rectangle", ("no shapes layer with a rectangle.", "Draw one rectangle")),
        ({"data": np.zeros((64, 64, 3)), "rgb": True}, "whole", ("has 3 channels, but the model", "a model")),
    ],
)
def test_what_goes_wrong_is_a_notification_with_a_remedy_and_no_traceback(
    viewer: Any, widget: Any, wait_for: Wait, said: list[Any], arguments: Any, region: str, sentences: tuple[str, ...]
) -> None:
    if arguments is not None:
        viewer.add_image(**arguments)
    before = list(viewer.layers)
    widget.region.value = region
    widget.segment.click()
    wait_for(widget.segment.isEnabled)
    ((severity, message),) = said
    assert severity == "error"
    assert all(sentence in message for sentence in sentences)
    assert "Traceback" not in message
    assert list(viewer.layers) == before


def test_cancel_leaves_nothing_and_the_next_run_works(
    viewer: Any, widget: Any, wait_for: Wait, held: Event, said: list[Any]
) -> None:
    viewer.add_image(RANDOM.random((64, 64)))
    widget.segment.click()
    wait_for(lambda: widget.status.text() == "Loading the model ...")
    widget.cancel.click()
    assert widget.status.text() == "Stopping after this tile ..."
    held.set()
    wait_for(widget.segment.isEnabled)
    assert (len(viewer.layers), widget.status.text()) == (1, "Cancelled.")
    widget.segment.click()
    wait_for(widget.segment.isEnabled)
    assert len(viewer.layers) == 2
    assert not said


def test_a_run_ends_when_its_layer_is_removed(
    viewer: Any, widget: Any, wait_for: Wait, held: Event, said: list[Any]
) -> None:
    image = viewer.add_image(RANDOM.random((64, 64)), name="gone")
    other = viewer.add_image(RANDOM.random((64, 64)))
    widget.image.value = image
    widget.segment.click()
    viewer.layers.remove(image)
    held.set()
    wait_for(widget.segment.isEnabled)
    assert list(viewer.layers) == [other]
    ((severity, message),) = said
    assert severity == "info"
    assert "'gone' was removed" in message


def test_a_fault_of_ours_is_shown_with_its_traceback(
    viewer: Any, widget: Any, wait_for: Wait, said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unetkit.napari.run.load_kept", lambda *_: 1 / 0)
    viewer.add_image(np.zeros((64, 64)))
    widget.segment.click()
    wait_for(widget.segment.isEnabled)
    assert any("division by zero" in message for _, message in said)
    assert len(viewer.layers) == 1


def test_a_run_ends_when_the_widget_is_closed_for_good(viewer: Any, widget: Any, wait_for: Wait, held: Event) -> None:
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    viewer.add_image(RANDOM.random((64, 64)))
    widget.segment.click()
    wait_for(lambda: widget.status.text() == "Loading the model ...")
    running = widget.running
    widget.deleteLater()
    QApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete.value)
    held.set()
    wait_for(lambda: not running.busy)
    assert len(viewer.layers) == 1
