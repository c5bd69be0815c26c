"""The widget: what is shown, and what a user chose."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import ComboBox
from napari.layers import Image, Layer, Shapes
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from unetkit.foundation.errors import UnetkitError
from unetkit.models.builtin_models import MODEL_SUFFIX
from unetkit.napari.layers import take_picture
from unetkit.napari.models import list_models, remember
from unetkit.napari.run import Choices, Run
from unetkit.napari.running import Running

OUTPUTS = [
    ("labels: a number for each object", "labels"),
    ("mask", "mask"),
    ("probabilities", "probabilities"),
    ("uncertainty", "uncertainty"),
    ("restored image", "restored"),
]

REGIONS = [("whole image", "whole"), ("field in view", "view"), ("rectangle of a shapes layer", "rectangle")]

PLANES = [("the plane that is shown", "shown"), ("all planes of the stack", "all")]

DEVICES = ["auto", "cpu", "cuda", "mps"]

LARGEST_NUMBER = 1_000_000
"""Largest number that can be typed, in pixels."""

TABLE = ("napari", "Features table widget")
"""Plug-in and name of napari's own table."""


class AutoBox(QSpinBox):
    """A box for a number of pixels, which is "auto" until one is chosen.

    Args:
        step: What the arrows add.
    """

    def __init__(self, step: int = 1) -> None:
        super().__init__()
        self.setRange(-1, LARGEST_NUMBER)
        self.setSingleStep(step)
        self.setSpecialValueText("auto")
        self.setValue(-1)

    @property
    def chosen(self) -> int | None:
        """The number, None for auto."""
        return None if self.value() < 0 else self.value()


class SegmentWidget(QWidget):
    """Segments a layer of the viewer.

    Args:
        napari_viewer: The viewer. napari gives it, by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._made: list[Layer] = []
        self.image = ComboBox(choices=lambda _: self._layers(Image))
        self.model = ComboBox(choices=lambda _: list_models())
        self.file = QPushButton("File ...")
        self.output = ComboBox(choices=OUTPUTS)
        self.region = ComboBox(choices=REGIONS)
        self.shapes = ComboBox(choices=lambda _: self._layers(Shapes))
        self.planes = ComboBox(choices=PLANES)
        self.halo = AutoBox(step=16)
        self.measure = QCheckBox("measure objects")
        self.min_size = AutoBox()
        self.tile = AutoBox(step=32)
        self.device = ComboBox(choices=DEVICES)
        self.tta = QCheckBox("predict in 8 orientations")
        self.segment = QPushButton("Segment")
        self.cancel = QPushButton("Cancel")
        self.table = QPushButton("Show table")
        self.progress = QProgressBar()
        self.status = QLabel()
        self.measure.setChecked(True)
        self._lay_out()
        self._explain()
        self.running = Running(napari_viewer, self._show_progress, self._end)
        self._connect()
        self._show_idle()

    def _lay_out(self) -> None:
        """Put everything in its place."""
        self._form, more = QFormLayout(), QFormLayout()
        model, buttons = QHBoxLayout(), QHBoxLayout()
        model.addWidget(self.model.native, 1)
        model.addWidget(self.file)
        for button in (self.segment, self.cancel, self.table):
            buttons.addWidget(button)
        self._form.addRow("Image", self.image.native)
        self._form.addRow("Model", model)
        self._form.addRow("Output", self.output.native)
        self._form.addRow("Region", self.region.native)
        self._form.addRow("Rectangle", self.shapes.native)
        self._form.addRow("Planes", self.planes.native)
        self._form.addRow("Halo", self.halo)
        more.addRow("Smallest object", self.min_size)
        more.addRow("Tile", self.tile)
        more.addRow("Device", self.device.native)
        more.addRow("", self.measure)
        more.addRow("", self.tta)
        inside = QWidget()
        inside.setLayout(more)
        self.fold = QCollapsible("More", expandedIcon="▾", collapsedIcon="▸")
        self.fold.toggleButton().setStyleSheet("text-align: left; border: none; background: transparent;")
        self.fold.addWidget(inside)
        column = QVBoxLayout(self)
        column.addLayout(self._form)
        column.addWidget(self.fold)
        column.addLayout(buttons)
        column.addWidget(self.progress)
        column.addWidget(self.status)
        column.addStretch(1)
        self.status.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)  # the rest is for the table

    def _explain(self) -> None:
        """Set what is shown under the mouse."""
        texts = {
            self.model.native: "A built-in model, or a file that was used before.",
            self.file: "Choose a model.safetensors that `unetkit fit` wrote.",
            self.region.native: "A region is segmented as an image of its own.",
            self.shapes.native: "Layer with one rectangle, or with one that is selected.",
            self.planes.native: "Planes of a stack are segmented one by one.",
            self.halo: "Context around each tile, in pixels; auto is what was measured for the model.",
            self.min_size: "In pixels; auto is the smallest object of the images that the model was trained on.",
            self.tile: "Largest window in pixels, a multiple of the model's stride, such as 512.",
            self.device.native: "What computes; auto takes a GPU where there is one.",
            self.measure: "Area, shape and intensities of each object, as the features of its layer.",
            self.tta: "Mean over flips and rotations: slower, a little better.",
            self.table: "Open napari's table of the objects, which can save it as CSV.",
        }
        for widget, text in texts.items():
            widget.setToolTip(text)

    def _connect(self) -> None:
        self.file.clicked.connect(self._open_model)
        self.image.changed.connect(self._show_fitting)
        self.region.changed.connect(self._show_fitting)
        self.segment.clicked.connect(self._start)
        self.cancel.clicked.connect(self._cancel)
        self.table.clicked.connect(self._show_table)
        self.destroyed.connect(self.running.close)

    def _layers(self, kind: type[Layer]) -> list[Layer]:
        """Return the layers of a kind, the one on top first."""
        return [layer for layer in reversed(self._viewer.layers) if isinstance(layer, kind)]

    def reset_choices(self) -> None:
        """List the layers anew; napari calls it when they change."""
        self.image.reset_choices()
        self.shapes.reset_choices()
        self._show_fitting()

    @property
    def choices(self) -> Choices:
        """What the user chose, but for layer and region."""
        tiling = {"halo": self.halo.chosen, "tile": self.tile.chosen or "auto", "device": self.device.value}
        return Choices(
            model=self.model.value,
            output=self.output.value,
            measure=self.measure.isChecked(),
            min_size=self.min_size.chosen,
            tiling=tiling | {"tta": self.tta.isChecked()},
        )

    def _show_fitting(self) -> None:
        """Show only the choices that have a meaning."""
        layer = self.image.value
        shown = {
            self.shapes.native: self.region.value == "rectangle",
            self.planes.native: layer is not None and layer.ndim > 2,
        }
        for widget, has_meaning in shown.items():
            widget.setVisible(has_meaning)
            if (label := self._form.labelForField(widget)) is not None:
                label.setVisible(has_meaning)

    def _open_model(self) -> None:
        """Let the user choose a model file."""
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", f"Models (*{MODEL_SUFFIX})")
        if path:
            self.use_model(Path(path))

    def use_model(self, path: Path) -> None:
        """Choose a model file, and offer it from now on."""
        remember(path)
        self.model.reset_choices()
        self.model.value = str(path.resolve())

    def _start(self) -> None:
        layer, shown_only = self.image.value, self.planes.value == "shown"
        try:
            picture = take_picture(self._viewer, layer, self.region.value, self.shapes.value, shown_only=shown_only)
        except UnetkitError as error:
            show_error(f"{error.problem} {error.remedy}")
            return
        self._show_idle(idle=False)
        self.running.start(Run(picture, self.choices), layer)

    def _cancel(self) -> None:
        self.cancel.setEnabled(False)
        self.status.setText("Stopping after this tile ...")
        self.running.stop()

    def _show_idle(self, *, idle: bool = True) -> None:
        """Show whether something runs."""
        self.segment.setEnabled(idle)
        self.cancel.setEnabled(not idle)
        self.progress.setVisible(not idle)
        self.table.setEnabled(any(len(getattr(layer, "features", ())) for layer in self._made))
        self._show_fitting()

    def _show_progress(self, stage: str, done: float) -> None:
        self.progress.setValue(round(100 * done))
        if self.cancel.isEnabled():
            self.status.setText(f"{stage} ...")

    def _end(self, layers: list[Layer], message: str) -> None:
        self._made = layers or self._made
        self.status.setText(message)
        self._show_idle()

    def _show_table(self) -> None:
        """Open napari's own table, with the objects of the last run."""
        self._viewer.layers.selection = {layer for layer in self._made if layer in self._viewer.layers}
        self._viewer.window.add_plugin_dock_widget(*TABLE)
