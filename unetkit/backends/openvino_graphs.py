"""OpenVINO graphs in files, so that a model need not be converted or quantised each time that it is used."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import openvino as ov

from unetkit.foundation.user_cache import user_cache
from unetkit.models.builtin_models import builtin_folder
from unetkit.models.segmenter import Segmenter

XML_ROOT = "net"
"""Root element of a graph's .xml."""

IDENTITY_KEY = "unetkit"
"""Key of the identity in a kept graph."""

GRAPH_FORM = 2
"""Version of the inputs, the outputs and the quantisation of kept graphs. Each change gets another number."""

KEPT_GRAPHS = 8
"""Largest number of converted graphs that are kept. Each is as large as its model."""


@cache
def core() -> ov.Core:
    """Return OpenVINO's core, one for the life of the process.

    Its CPU plugin gives the thread that loads it a stack for signals and frees that with the core. If another thread
    lets go of the core, the next signal (Ctrl-C, a worker that ends) would be handled on memory that is gone.
    """
    return ov.Core()


def converted_file(segmenter: Segmenter) -> Path | None:
    """Return where the converted graph of a model is kept; None for one that is not as it was in its file."""
    return user_cache() / "openvino" / f"{segmenter.sha256[:32]}.xml" if identity(segmenter) else None


def quantized_file(segmenter: Segmenter) -> Path | None:
    """Return where the graph of a model in int8 is kept: beside the model file; of a built-in model in the cache."""
    if not identity(segmenter):
        return None
    path = Path(segmenter.name).with_suffix(".int8.xml")
    built_in = path.resolve().parent == builtin_folder().resolve()
    return user_cache() / "openvino" / path.name if built_in else path


def store_graph(graph: ov.Model, path: Path, segmenter: Segmenter) -> ov.Model:
    """Keep the graph of a model. If that is not possible, it is made again next time.

    A graph that was read rounds differently from the one that was written. So the one read back is used: then a later
    run gives the same bytes.

    Args:
        graph: The graph.
        path: The file (.xml); the weights lie beside it (.bin).
        segmenter: The model.

    Returns:
        The graph to use.
    """
    graph.set_rt_info(identity(segmenter), [IDENTITY_KEY])
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".unetkit-") as folder:
            ov.save_model(graph, Path(folder) / path.name, compress_to_fp16=False)
            for suffix in (".bin", ".xml"):  # the .xml last: `load_graph` looks for it
                (Path(folder) / path.name).with_suffix(suffix).replace(path.with_suffix(suffix))
    return load_graph(path, segmenter) or graph


def load_graph(path: Path, segmenter: Segmenter) -> ov.Model | None:
    """Return the graph that was kept for this model in a file, if there is one."""
    own = identity(segmenter)
    if not path.is_file() or not own:
        return None
    try:
        if ElementTree.parse(path).getroot().tag != XML_ROOT:  # OpenVINO would try all the formats that it knows
            return None
        graph = core().read_model(path)
    except (RuntimeError, ElementTree.ParseError, OSError):  # damaged: it is made again
        return None
    return graph if graph.has_rt_info([IDENTITY_KEY]) and graph.get_rt_info([IDENTITY_KEY]).value == own else None


def remove_oldest(folder: Path) -> None:
    """Leave only the newest graphs of a folder."""
    with suppress(OSError):
        for path in sorted(folder.glob("*.xml"), key=lambda path: path.stat().st_mtime)[:-KEPT_GRAPHS]:
            path.unlink()
            path.with_suffix(".bin").unlink(missing_ok=True)


def identity(segmenter: Segmenter) -> str:
    """Return the model and the versions that a kept graph must be made of; "" for a model changed after loading."""
    tensors = chain(segmenter.network.parameters(), segmenter.network.buffers())
    if not segmenter.sha256 or any(tensor._version for tensor in tensors):
        return ""
    return f"{segmenter.sha256} openvino {version('openvino')} unetkit {version('unetkit')} form {GRAPH_FORM}"
