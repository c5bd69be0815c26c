"""An ONNX file as a model: what it says of itself, what a file beside it says, and what is found by trying it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unetkit.foundation.errors import ModelError
from unetkit.models.architectures import ARCHITECTURES, FOREIGN
from unetkit.models.foreign import ForeignSpec, Step
from unetkit.models.foreign_network import ForeignNetwork
from unetkit.models.model_file import METADATA_KEY, hash_file
from unetkit.models.normalization import Normalization
from unetkit.models.onnx_graph import OnnxGraph
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.zoo.notes import ModelNotes, notes_path, read_notes
from unetkit.zoo.onnx_probe import Probe, probe

INPUT_KEY = "unetkit_input"
"""Key in the metadata of a graph that unetkit wrote: whether it takes "raw" or "normalized" pixels."""


def describe(path: Path) -> ModelSpec:
    """Return what the model in an ONNX file is.

    A file that unetkit wrote says all of itself. Of others the sizes are taken from the graph, or found by trying it;
    a file of the same name that ends in .yaml may say what a graph cannot, see `ModelNotes`.

    Raises:
        ModelError: The graph cannot be run, or is not one that predicts masks.
    """
    return _describe(OnnxGraph(path))


def load(path: Path) -> Segmenter:
    """Load the model in an ONNX file; see `describe`."""
    graph = OnnxGraph(path)
    spec = _describe(graph)
    assert spec.foreign is not None
    segmenter = Segmenter(spec, ForeignNetwork(graph, spec.foreign))
    segmenter.name, segmenter.sha256 = str(path), hash_file(path)
    return segmenter.eval()


def _describe(graph: OnnxGraph) -> ModelSpec:
    metadata = graph.session.get_modelmeta().custom_metadata_map
    notes = read_notes(graph.path)
    if METADATA_KEY in metadata:
        return _own(graph, metadata)
    found = probe(graph, notes)
    channels, after = _choose_channels(found, notes, graph.path)
    classes = max(len(channels), 2)
    foreign = ForeignSpec(
        kind="onnx",
        stride=found.stride,
        smallest=found.smallest,
        fixed=found.fixed,
        input_axes=found.input_axes,
        output_axes=found.output_axes,
        output=found.output,
        channels=channels,
        before=None,
        after=after,
        halo_known=notes.halo is not None,
        remarks=_assumed(graph.path, notes, found, channels),
    )
    return ModelSpec(
        arch=FOREIGN,
        foreign=foreign,
        in_channels=found.channels,
        classes=classes,
        dims=3 if len(found.stride) == 3 else 2,
        normalization=notes.normalization or Normalization(),
        threshold=notes.threshold,
        halo=_halo(notes, found.stride),
        pixel_size_um=notes.pixel_size_um,
        class_names=notes.class_names,
    )


def _own(graph: OnnxGraph, metadata: dict[str, str]) -> ModelSpec:
    """Return the description of a graph that unetkit wrote: that of the model it was made of."""
    own = ModelSpec.from_json(metadata[METADATA_KEY], str(graph.path))
    raw = metadata.get(INPUT_KEY) == "raw"
    spatial = own.dims
    foreign = ForeignSpec(
        kind="onnx",
        stride=own.strides,
        smallest=own.strides,
        input_axes="bc" + "zyx"[-spatial:],
        output_axes="bc" + "zyx"[-spatial:],
        channels=tuple(range(own.out_channels)),
        distance=own.out_channels if own.instances else None,
        before=() if raw else None,
        after=(),
        halo_known=True,
    )
    return replace(own, arch=FOREIGN, foreign=foreign, pooling=(), **ARCHITECTURES[FOREIGN].unused)


def _choose_channels(found: Probe, notes: ModelNotes, path: Path) -> tuple[tuple[int, ...], tuple[Step, ...]]:
    """Return which channels of the output count, and the steps that make probabilities of them."""
    activation = found.activation if notes.activation == "auto" else notes.activation
    classes = found.exclusive and notes.activation in ("auto", "softmax", "none")
    channels = notes.channels or (tuple(range(found.out_channels)) if classes else (0,))
    if max(channels) >= found.out_channels:
        raise ModelError(
            f"{path} has {found.out_channels} output channels, so there is no channel {max(channels)}.",
            "Count channels from 0.",
        )
    steps: dict[str, tuple[Step, ...]] = {
        "none": (),
        "sigmoid": (Step("sigmoid"),),
        "softmax": (Step("softmax"),),
    }
    return channels, steps[activation]


def _assumed(path: Path, notes: ModelNotes, found: Probe, channels: tuple[int, ...]) -> tuple[str, ...]:
    """Return sentences on what the graph does not say, and what is taken for it."""
    beside = notes_path(path).name
    remarks = []
    if notes.normalization is None:
        usual = Normalization()
        remarks.append(
            f"{path.name} does not say how pixels are normalised: percentiles {usual.low:g} and {usual.high:g} of each "
            f"image become 0 and 1. Say it in {beside} if it was trained on others (normalization)."
        )
    if notes.channels is None and len(channels) < found.out_channels:
        remarks.append(
            f"{path.name} has {found.out_channels} output channels, of which the first is taken for the foreground. "
            f"Say in {beside} if it is another one (channels)."
        )
    return tuple(remarks)


def _halo(notes: ModelNotes, stride: tuple[int, ...]) -> tuple[int, ...]:
    """Return the halo that was stated, rounded up to strides; a stand-in where it will be measured."""
    halo = notes.halo or tuple(2 * step for step in stride)
    each = halo * len(stride) if len(halo) == 1 else halo
    return tuple(-(-one // step) * step for one, step in zip(each, stride, strict=True))
