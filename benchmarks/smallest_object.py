"""Store in a model file, whose weights stay as they are, what is too small to be an object of its training masks.

    python benchmarks/smallest_object.py --data nuclei/train --model model.safetensors --out new.safetensors

`fit` does so by itself; this is for models that it made before. All images of the folder count but those that the model
was validated on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from unetkit.data.loading import load_pair
from unetkit.data.objects import SmallestObject, find_smallest, measure_objects
from unetkit.data.pairs import find_pairs
from unetkit.models.model_file import read_spec
from unetkit.models.segmenter import save_model
from unetkit.models.spec import ModelSpec
from unetkit.zoo.opening import load_model


def measure(data: Path, spec: ModelSpec) -> SmallestObject:
    """Measure the masks of a folder that a model was trained on."""
    held_out = set(spec.training["data"]["val_images"])
    pairs = [pair for pair in find_pairs(data) if pair.name not in held_out]
    print(f"{len(pairs)} images trained on, {len(held_out)} validated on.")
    return find_smallest(np.concatenate([measure_objects(load_pair(pair)[1]) for pair in pairs]))


def rewrite(model: Path, spec: ModelSpec, out: Path) -> None:
    """Copy a model file with another description; its tensors stay as they are stored."""
    with safe_open(model, "pt") as file:
        halves = any(file.get_tensor(name).dtype == torch.float16 for name in file.keys())  # noqa: SIM118  # no dict
    segmenter = load_model(model)
    segmenter.spec = spec
    save_model(segmenter, out, torch.float16 if halves else torch.float32)


def main(args: list[str] | None = None) -> None:
    """Measure, say and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="new model file")
    options = parser.parse_args(args)
    spec = read_spec(options.model)
    found = measure(options.data, spec)
    print(f"{found.pixels} pixels; {found.smaller} of {found.objects} objects are smaller.")
    rewrite(options.model, replace(spec, smallest_object=found.pixels), options.out)


if __name__ == "__main__":
    main()
