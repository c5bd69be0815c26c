"""Annotation files in which something is not what it should be: an error that names the file, and no other."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_files import write_coco, write_geojson, write_labelme, write_rois

from unetkit.annotations.coco import _read
from unetkit.annotations.formats import COCO, FIJI, LABELME, QUPATH, AnnotationFormat
from unetkit.annotations.source import AnnotationSource
from unetkit.errors import UnetkitError
from unetkit.io.base.arrays import ArraySource

LABELS = np.zeros((40, 50), np.uint16)
LABELS[3:9, 4:9], LABELS[5, 6], LABELS[20:30, 20:30] = 1, 0, 2
INFO = ArraySource(LABELS, "YX", "image.tif").info

JUNK: list[Any] = [None, 5, -1, "x", "", [], {}, [1], [[]], {"a": 1}, True, float("inf"), float("nan"), 10**30]
CHANGED = 150


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in a JSON document; of long lists only to the first ones."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value[:5]) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*at, key))


def read_all(form: AnnotationFormat, path: Path) -> None:
    """Read and draw a file; what is raised is an error that names it."""
    problem = path.name
    try:
        source = AnnotationSource(form.read(path, "a"), INFO, "labels")
        tally = source.tally()
        source.read(0, (slice(0, 40), slice(0, 50)), tally)
        source.notes(tally, [0])
    except UnetkitError as error:
        problem = error.problem
    assert path.name in problem


@pytest.mark.parametrize("form", [QUPATH, LABELME, COCO], ids=lambda form: form.name)
def test_any_value_of_a_file_may_be_wrong(form: AnnotationFormat, tmp_path: Path) -> None:
    path, rng = tmp_path / "a.json", random.Random(0)
    if form is COCO:
        write_coco(path, {"a": LABELS}, {"a": {1: "b", 2: "c"}})
    else:
        (write_geojson if form is QUPATH else write_labelme)(path, LABELS, {1: "b", 2: "c"})
    whole = json.loads(path.read_text())
    known = list(places(whole))
    for _ in range(CHANGED):
        changed = copy.deepcopy(whole)
        *way, last = rng.choice(known)
        inside = changed
        for key in way:
            inside = inside[key]
        if isinstance(inside, dict) and rng.random() < 0.2:
            del inside[last]
        else:
            inside[last] = copy.deepcopy(rng.choice(JUNK))
        path.write_text(json.dumps(changed))
        _read.cache_clear()
        read_all(form, path)


def test_any_byte_of_a_region_may_be_wrong(tmp_path: Path) -> None:
    from zipfile import ZipFile

    write_rois(tmp_path / "a.zip", LABELS)
    with ZipFile(tmp_path / "a.zip") as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    rng = random.Random(0)
    for content in contents:
        for _ in range(CHANGED):
            changed = bytearray(content)
            for _ in range(rng.choice([1, 1, 3])):
                changed[rng.randrange(4, len(changed))] = rng.choice([0, 1, 127, 128, 255])
            (tmp_path / "a.roi").write_bytes(changed)
            read_all(FIJI, tmp_path / "a.roi")
