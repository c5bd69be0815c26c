"""`fit` on what people drew: a run from annotation files to a model that knows the names of its classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_files import write_geojson
from tiny_fit import SETTINGS

from unetkit.cli import main
from unetkit.data.places import Places
from unetkit.models.model_file import read_spec
from unetkit.planning.measure import look_at_all, measure


@pytest.fixture
def drawn(cells: Path, tmp_path: Path) -> Path:
    """The cells with annotations of two classes in place of masks, inside of a region."""
    folder = tmp_path / "drawn"
    shutil.copytree(cells / "images", folder / "images")
    (folder / "annotations").mkdir()
    for path in sorted((cells / "masks").glob("*.tif")):
        labels = tifffile.imread(path)
        names = {int(number): ("tumour", "stroma")[int(number) % 2] for number in np.unique(labels) if number}
        place = folder / "annotations" / f"{path.stem}.geojson"
        write_geojson(place, labels, names)
        content = json.loads(place.read_text())
        ring = [[0, 0], [80, 0], [80, 96], [0, 96], [0, 0]]
        region = {"type": "Polygon", "coordinates": [ring]}
        properties = {"classification": {"name": "Region*"}}
        content["features"].append({"type": "Feature", "geometry": region, "properties": properties})
        place.write_text(json.dumps(content))
    return folder


def test_a_model_of_drawn_classes_has_their_names(drawn: Path, tmp_path: Path) -> None:
    words = ["fit", "--data.train", str(drawn), *SETTINGS.split(), "--runs", str(tmp_path / "runs"), "--name", "a"]
    assert main([*words, "--model.classes", "3"]) == 0
    spec = read_spec(tmp_path / "runs" / "a" / "model.safetensors")
    assert spec.class_names == ("background", "stroma", "tumour")
    assert spec.training["data"]["annotated"] == pytest.approx(80 / 96, abs=1e-3)


def test_planning_knows_classes_and_what_is_annotated_without_a_guess(drawn: Path) -> None:
    pairs = Places(str(drawn)).find()
    facts = measure(look_at_all(pairs))
    assert (facts.kind, facts.classes, facts.class_names) == ("classes", 3, ("stroma", "tumour"))
    assert facts.annotated == pytest.approx(80 / 96, abs=1e-3)
    objects = measure(look_at_all(pairs, classes=False))
    assert (objects.kind, objects.classes) == ("instances", 2)
