"""Runs in a thread of their own: one at a time, with progress, and an end whatever happens."""

from __future__ import annotations

from collections.abc import Callable

from napari.layers import Image, Layer
from napari.qt.threading import FunctionWorker, create_worker
from napari.utils import progress
from napari.utils.events import Event
from napari.utils.notifications import notification_manager, show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from unetkit.napari.run import Outcome, Run

POLL_MS = 100
"""Milliseconds between two looks at how far a run is."""

STEPS = 1000
"""Steps of a progress bar."""


class Running:
    """What runs for one viewer.

    Args:
        viewer: Gets the layers.
        show: Called with the stage and the share that is done, 0 to 1, while something runs.
        end: Called with the layers that were added, and a sentence, when nothing runs any longer.
    """

    def __init__(
        self, viewer: Viewer, show: Callable[[str, float], None], end: Callable[[list[Layer], str], None]
    ) -> None:
        self._viewer = viewer
        self._show = show
        self._end = end
        self._worker: FunctionWorker[Outcome] | None = None
        self._layer: Image | None = None
        self._closed = False
        self._timer = QTimer()
        self._timer.setInterval(POLL_MS)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self._worker is not None

    def start(self, run: Run, layer: Image) -> None:
        """Start a run.

        Args:
            run: The run.
            layer: The layer that it reads. When it is removed, the run ends.
        """
        worker: FunctionWorker[Outcome] = create_worker(run, _ignore_errors=True)
        run.stopped = lambda: worker.abort_requested
        bar = progress(total=STEPS, desc=str(run.picture.name))
        outcome = Outcome()

        def look() -> None:
            if self._closed:
                return
            self._show(run.stage, run.done)
            bar.update(int(run.done * STEPS) - bar.n)

        def keep(returned: Outcome) -> None:
            nonlocal outcome
            outcome = returned

        def finish() -> None:
            self._timer.stop()
            self._timer.timeout.disconnect(look)
            bar.close()
            self._worker, self._layer = None, None
            if self._closed:
                return
            stopped = worker.abort_requested
            self._end([] if stopped else self._add(outcome), "Cancelled." if stopped else outcome.message)

        worker.returned.connect(keep)
        worker.errored.connect(show_fault)
        worker.finished.connect(finish)
        self._timer.timeout.connect(look)
        self._worker, self._layer = worker, layer
        self._timer.start()
        worker.start()
        look()

    def stop(self) -> None:
        """Ask what runs to stop; `end` is called when it has."""
        if self._worker is not None:
            self._worker.quit()

    def close(self) -> None:
        """Stop for good: `show` and `end` are called no longer."""
        self._closed = True
        self.stop()

    def _on_removed(self, event: Event) -> None:
        if self._layer is not None and event.value is self._layer:
            show_info(f"unetkit stopped: the layer '{event.value.name}' was removed.")
            self.stop()

    def _add(self, outcome: Outcome) -> list[Layer]:
        """Add the layers of a run that came to its end, or show its error."""
        if outcome.error is not None:
            show_error(f"{outcome.error.problem} {outcome.error.remedy}")
        adders = {"image": self._viewer.add_image, "labels": self._viewer.add_labels}
        return [adders[new.kind](new.data, **new.arguments) for new in outcome.layers]


def show_fault(error: Exception) -> None:
    """Show an error that is no user's, as napari does: with a button for its traceback."""
    notification_manager.receive_error(type(error), error, error.__traceback__)
