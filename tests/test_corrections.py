"""The loop of corrections: segment, correct what is wrong where people draw, train on, segment better."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tiny_fit import SETTINGS

from unetkit.cli import main
from unetkit.foundation.synthetic import write_dataset
from unetkit.scoring.evaluation import evaluate

SIDE = 96

pytestmark = pytest.mark.usefixtures("small_halo_canvas")


def run(*words: str | Path) -> None:
    assert main([str(word) for word in words]) == 0


def correct(drawn: Path, truth: Path) -> int:
    """Correct a file of outlines as in QuPath: nothing that was found wrong stays, what was missed is drawn.

    An object that is there keeps its feature; the others are deleted, and those of the truth are put in their place.
    Returns the number of features that were kept.
    """
    found = json.loads(gzip.decompress(drawn.read_bytes()))["features"]
    run("export", truth, drawn.with_name("truth.geojson"), "--object-type", "annotation")
    true = json.loads(drawn.with_name("truth.geojson").read_text(encoding="utf-8"))["features"]
    drawn.with_name("truth.geojson").unlink()
    known = {json.dumps(feature["geometry"]) for feature in true}
    kept = [feature for feature in found if json.dumps(feature["geometry"]) in known]
    missed = {json.dumps(feature["geometry"]) for feature in kept}
    features = kept + [feature for feature in true if json.dumps(feature["geometry"]) not in missed]
    drawn.write_bytes(gzip.compress(json.dumps({"type": "FeatureCollection", "features": features}).encode()))
    return len(kept)


def test_corrected_outlines_make_the_next_model_better(tmp_path: Path) -> None:
    """The first model is hardly trained; its labels go out, come back corrected, and it is trained on with them."""
    write_dataset(tmp_path / "old", 3, SIDE, 0)
    write_dataset(tmp_path / "new", 4, SIDE, 1)
    fit = ["fit", *SETTINGS.split(), "--model.instances", "true", "--runs", tmp_path / "runs"]
    run(*fit, "--data.train", tmp_path / "old", "--trainer.max_epochs", "1", "--name", "first")
    first = tmp_path / "runs" / "first" / "model.safetensors"

    # segment, with outlines for QuPath in the same run
    images, truth = tmp_path / "new" / "images", tmp_path / "new" / "masks"
    run("segment", images, tmp_path / "before", "--model", first, "--output", "labels", "--backend", "torch")
    corrected = tmp_path / "corrected"
    shutil.copytree(images, corrected / "images")
    run("export", tmp_path / "before", corrected / "masks", "--object-type", "annotation")

    # correct, and see that what was drawn is what is learned
    for path in sorted(truth.iterdir()):
        correct(corrected / "masks" / f"{path.stem}.geojson.gz", path)
    run("rasterize", corrected / "masks", corrected / "images", tmp_path / "drawn", "--output", "labels")
    for path in sorted(truth.iterdir()):
        drawn, true = tifffile.imread(tmp_path / "drawn" / path.name), tifffile.imread(path)
        np.testing.assert_array_equal(drawn > 0, true > 0)
        assert len(np.unique(drawn)) == len(np.unique(true))

    # train on, and compare
    more = ["--model.weights", first, "--data.crops_per_epoch", "48", "--trainer.max_epochs", "4", "--name", "second"]
    run(*fit, "--data.train", corrected, *more)
    second = tmp_path / "runs" / "second" / "model.safetensors"
    run("segment", images, tmp_path / "after", "--model", second, "--output", "labels", "--backend", "torch")
    before, after = (evaluate(tmp_path / name, truth).mean.dice for name in ("before", "after"))
    assert after > before + 0.2
    assert after > 0.7
