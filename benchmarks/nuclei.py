"""Score predicted labels of the nuclei images: pixels and objects, of all images, the fluorescence ones and the others.

    unetkit segment DATA/images OUT --model runs/NAME/model.safetensors --output labels
    python benchmarks/nuclei.py OUT DATA --markdown
    python benchmarks/nuclei.py OUT DATA --validated-by runs/NAME/model.safetensors

DATA holds images/ and masks/ (instance labels). Fluorescence images are those that are grey, stored as RGB or not, and
on average darker than 100 of 255. AP is TP / (TP + FP + FN) of the objects; the predictions must be labels, not masks.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import print_table

from unetkit.data.loading import load_pair
from unetkit.data.pairs import find_pairs
from unetkit.scoring.evaluation import evaluate
from unetkit.scoring.instances import THRESHOLDS
from unetkit.scoring.result import Evaluation
from unetkit.zoo.opening import load_model

DARK = 100
"""Fluorescence images have a mean below this, of 255."""

COLUMNS = {
    "mean_dice": "mean Dice",
    "pooled_dice": "pooled Dice",
    "mean_ap50": "mean AP@0.5",
    "pooled_ap50": "pooled AP@0.5",
    "pooled_ap70": "pooled AP@0.7",
    "mean_ap": "mean AP@0.5:0.95",
    "pooled_f1": "pooled F1@0.5",
    "mean_pq": "mean PQ",
    "pooled_pq": "pooled PQ",
}


def fluorescence_images(folder: Path) -> set[str]:
    """Return the names of the grey and dark images of a folder with images/ and masks/."""
    names = set()
    for pair in find_pairs(folder):
        pixels, _ = load_pair(pair)
        if (pixels == pixels[:1]).all() and pixels.mean() < DARK:
            names.add(pair.name)
    return names


def summarize(result: Evaluation) -> dict[str, Any]:
    """Return the figures of one row of the table."""
    objects = result.instances
    assert objects is not None
    mean, pooled = objects.mean, objects.pooled
    return {
        "images": len(result.rows),
        "objects": objects.counts.true,
        "predicted": objects.counts.predicted,
        "mean_dice": result.mean.dice,
        "pooled_dice": result.pooled.dice,
        "mean_ap50": mean.ap[0],
        "pooled_ap50": pooled.ap[0],
        "pooled_ap70": pooled.ap[THRESHOLDS.index(0.7)],
        "mean_ap": mean.mean_ap,
        "pooled_f1": pooled.f1,
        "mean_pq": mean.pq,
        "pooled_pq": pooled.pq,
    }


def score(predictions: Path, data: Path, validated_by: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the figures of all images and, if there are any, of the fluorescence images and of the others.

    Args:
        predictions: Labels.
        data: Images and masks.
        validated_by: A model: only the images that it was validated on count.
    """
    result = evaluate(predictions, data / "masks", instances=True)
    names = {row.name for row in result.rows}
    if validated_by is not None:
        names &= set(load_model(validated_by).spec.training["data"]["val_images"])
    dark = fluorescence_images(data)
    kinds = {"all": names, "fluorescence": names & dark, "others": names - dark}
    return {
        kind: summarize(Evaluation(tuple(row for row in result.rows if row.name in some), result.settings))
        for kind, some in kinds.items()
        if some
    }


def main(args: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, help="folder of labels with the names of the images")
    parser.add_argument("data", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--validated-by", type=Path, help="a model: only the images that it was validated on count")
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(args)
    figures = score(options.predictions, options.data, options.validated_by)
    rows = [
        [f"{name}, {values['images']} images", *(f"{values[column]:.3f}" for column in COLUMNS)]
        for name, values in figures.items()
    ]
    print_table(str(options.predictions), ["images", *COLUMNS.values()], rows, markdown=options.markdown)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
