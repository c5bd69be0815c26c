"""GeoJSON for QuPath: a FeatureCollection that is written as a stream, a line for each object.

https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html says what QuPath reads, and RFC 7946
what GeoJSON is. QuPath reads gzip (.geojson.gz) since version 0.4.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import sha1
from itertools import pairwise
from pathlib import Path
from typing import IO, Any
from uuid import NAMESPACE_URL, uuid5

from numpy.typing import NDArray

from unetkit.exporting.base import NO_VALUES, Exporter, ObjectsWriter, Scene, Values, Warn
from unetkit.exporting.options import ExportOptions
from unetkit.exporting.text import PointText, texts_of
from unetkit.foundation.names import printable
from unetkit.objects.collector import Objects
from unetkit.objects.outlines import Outlines, portions, trace_outlines

MOST_WAITING = 3
"""Blocks of text that wait to be compressed at most; each has a few megabytes."""

CLASS_COLUMN = "class"

IDS = uuid5(NAMESPACE_URL, "unetkit:objects")
"""Namespace of the ids: of the same object of the same image they are the same each time."""


class GeoJsonWriter:
    """Writes objects as features.

    Args:
        file: Where the text goes.
        scene: Where the objects lie.
        options: How they are written.
    """

    def __init__(self, file: IO[bytes] | GzipBlocks, scene: Scene, options: ExportOptions) -> None:
        self._file = file
        self._scene = scene
        self._options = options
        self._points = PointText()
        self._separator = b""
        file.write(b'{"type":"FeatureCollection","features":[\n')

    def add(self, objects: Objects, values: Values = NO_VALUES) -> None:
        """Write some complete objects; see `unetkit.exporting.base.ObjectsWriter`."""
        for part, some in portions(objects):
            features = self._features(some, {name: column[part] for name, column in values.items()})
            self._file.write(self._separator + ",\n".join(features).encode())
            self._separator = b",\n"

    def close(self) -> None:
        """Write the end."""
        self._file.write(b"\n]}\n")

    def _features(self, objects: Objects, values: Values) -> Iterator[str]:
        outlines = trace_outlines(objects)
        if self._options.simplify:
            from unetkit.exporting.simplify import simplify_outlines

            outlines = simplify_outlines(outlines, self._options.simplify)
        shapes = shapes_of(outlines, self._points.rings(outlines.points, outlines.rings))
        position = self._scene.position(objects.plane)
        z, t = position.get("Z", 0), position.get("T", 0)
        plane = f',"plane":{{"c":-1,"z":{z},"t":{t}}}' if z or t else ""
        kind = f'"objectType":"{self._options.object_type}"'
        labels = objects.labels.tolist()
        ids = ids_of(f"{self._scene.name}/{objects.plane}", labels)
        for label, id_, shape, more in zip(labels, ids, shapes, self._more(values, len(labels)), strict=True):
            yield (
                f'{{"type":"Feature","id":"{id_}","geometry":{{{shape}{plane}}},'
                f'"properties":{{{kind},"name":"{label}"{more}}}}}'
            )

    def _more(self, values: Values, count: int) -> Iterable[str]:
        """Return what follows the name of each object: its class and its measurements, if there are any."""
        numbers = measurements_of(values, self._scene.plane_axes)
        measured = texts_of(numbers) if numbers else [""] * count
        measurements = (f',"measurements":{{{text}}}' if text else "" for text in measured)
        if CLASS_COLUMN not in values:
            return measurements
        classes = values[CLASS_COLUMN].tolist()
        known = {name: f',"classification":{{"name":{json.dumps(printable(name))}}}' for name in set(classes) if name}
        return (known.get(name, "") + text for name, text in zip(classes, measurements, strict=True))


def shapes_of(outlines: Outlines, rings: list[str]) -> list[str]:
    """Return type and coordinates of each object, given the text of the points of each ring."""
    if len(rings) == len(outlines):
        return [f'"type":"Polygon","coordinates":[[{ring}]]' for ring in rings]
    pieces = [f"[[{'],['.join(rings[start:stop])}]]" for start, stop in _pairs(outlines.pieces)]
    return [
        f'"type":"Polygon","coordinates":{pieces[start]}'
        if stop - start == 1
        else f'"type":"MultiPolygon","coordinates":[{",".join(pieces[start:stop])}]'
        for start, stop in _pairs(outlines.objects)
    ]


def measurements_of(values: Values, plane_axes: str = "") -> Values:
    """Return the columns that are measurements to a viewer.

    Left out are label, place and bounding box, which the outline says, and what is there in µm, too.
    """
    axes = {"plane", *plane_axes.lower()}
    places = {"label", *axes, *(f"{axis}_{unit}" for axis in axes for unit in ("um", "s"))}
    return {
        name: column
        for name, column in values.items()
        if column.dtype.kind in "biuf"
        and name not in places
        and not name.startswith(("centroid_", "bbox_"))
        and not (name.endswith("_px") and not values.keys().isdisjoint(_in_um(name)))
    }


def _in_um(name: str) -> tuple[str, ...]:
    """Return how a measurement in pixels may be called in micrometres."""
    stem = name.removesuffix("px")
    return f"{stem}um", f"{stem}um2", f"{stem}um3"


def ids_of(name: str, labels: Iterable[int]) -> list[str]:
    """Return a UUID (version 5) for each label, the same for the same name and label."""
    known = sha1(uuid5(IDS, printable(name)).bytes, usedforsecurity=False)
    ids = []
    for label in labels:
        hashed = known.copy()
        hashed.update(b"%d" % label)
        text = hashed.hexdigest()
        variant = "89ab"[int(text[16], 16) & 3]
        ids.append(f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}")
    return ids


class GzipBlocks:
    """Compresses blocks in a thread, each a member of a gzip file: programs read the members as one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._pool = ThreadPoolExecutor(1, "unetkit-gzip")
        self._waiting: deque[Future[bytes]] = deque()

    def __enter__(self) -> GzipBlocks:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                self._drain(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, block: bytes) -> None:
        """Compress a block, and write those that are ready."""
        self._waiting.append(self._pool.submit(_compress, block))
        self._drain(MOST_WAITING)

    def _drain(self, left: int) -> None:
        while len(self._waiting) > left:
            self._file.write(self._waiting.popleft().result())


def _compress(block: bytes) -> bytes:
    import imagecodecs  # takes a while to import

    # libdeflate: at its level 1 twice as fast as zlib, and a sixth of the size
    return bytes(imagecodecs.gzip_encode(block, level=1))


@contextmanager
def _open_geojson(
    path: Path, scene: Scene, options: ExportOptions, _: Warn, *, compressed: bool
) -> Iterator[ObjectsWriter]:
    with path.open("wb") as file:
        if not compressed:
            writer = GeoJsonWriter(file, scene, options)
            yield writer
            writer.close()
            return
        with GzipBlocks(file) as blocks:
            writer = GeoJsonWriter(blocks, scene, options)
            yield writer
            writer.close()


def _pairs(starts: NDArray[Any]) -> Iterator[tuple[int, int]]:
    return pairwise(starts.tolist())


GEOJSON = Exporter("GeoJSON", (".geojson",), partial(_open_geojson, compressed=False))

GEOJSON_GZIP = Exporter("GeoJSON, compressed", (".geojson.gz",), partial(_open_geojson, compressed=True))
