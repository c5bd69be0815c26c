"""Find the constants by which predicted distance maps become objects: AP at IoU 0.5 for each combination of them.

    python benchmarks/instances.py --data nuclei/train --model model.safetensors --val-only
    python benchmarks/instances.py --data nuclei/train --degrade 1.5 --noise 0.05

Without a model, the distance maps are the true ones, blurred and with smooth noise, and the mask is the true one.
AP at 0.5 is TP / (TP + FP + FN) over the objects of all images. Only labels are made again for each combination; the
network runs twice for each image.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from unetkit import load_model
from unetkit.data.distance_map import make_distance_map
from unetkit.data.loading import load_pair
from unetkit.data.objects import to_objects
from unetkit.data.pairs import Pair, find_pairs
from unetkit.foundation.console import log_nothing
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.engine.forward import Kind
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.run.zoom import find_zoom
from unetkit.inference.tiling.options import OutputOptions, SegmentOptions, TilingOptions
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import match_channels
from unetkit.models.sampling import ValidSource
from unetkit.models.segmenter import Segmenter
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_PREDICTED
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.postprocess.split_by_distance import BY_DISTANCE
from unetkit.scoring.instances import InstanceCounts, average_precision, match_instances

KERNELS = {"none": (1,), "3": (1, 2, 1), "5": (1, 4, 6, 4, 1)}
"""Smoothing along each axis, by its width in pixels."""

NOISE_SIGMA = 2.0
"""Scale of the noise that is added to true distance maps, in pixels."""

NEAR = 8
"""Pixels from an object within which a mask may belong to it."""

SURELY = 1e-6
"""A threshold below all probabilities, so that distance maps come back everywhere."""


@dataclass(frozen=True)
class Case:
    """An image with its truth and a prediction, in the pixels that the model sees.

    Attributes:
        truth: (H, W) instance labels.
        probabilities: (H, W) probability of the foreground, 0 to 1.
        heights: (H, W) uint8, the distance map.
        zoom: Pixels that the model sees, along each axis, for one of the image.
        image_truth: Instance labels in the pixels of the image; None where these are the same.
    """

    truth: NDArray[Any]
    probabilities: NDArray[np.float32]
    heights: NDArray[np.uint8]
    zoom: float = 1.0
    image_truth: NDArray[Any] | None = None

    def count(self, threshold: float, method: Method, smallest: int) -> InstanceCounts:
        """Count what a method finds, in the pixels of the image; objects of fewer pixels there are left out."""
        labels = label(self.bands(threshold), method, round(smallest * self.zoom**2))
        if self.image_truth is None:
            return match_instances(labels, self.truth)
        return match_instances(nearest(labels, self.image_truth.shape), self.image_truth)

    def bands(self, threshold: float) -> NDArray[np.uint8]:
        """Return probabilities and distance map within the mask (2, H, W)."""
        mask = self.probabilities >= threshold
        values = np.stack([np.rint(self.probabilities * LARGEST_PREDICTED), self.heights])
        both: NDArray[np.uint8] = np.where(mask, np.maximum(values, 1), 0).astype(np.uint8)
        return both


def degrade(heights: NDArray[np.float32], sigma: float, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur a distance map and add smooth noise of a standard deviation, as a network might."""
    blurred = cv2.GaussianBlur(heights, (0, 0), sigma) if sigma else heights
    rough = cv2.GaussianBlur(rng.normal(size=heights.shape).astype(np.float32), (0, 0), NOISE_SIGMA)
    noisy = blurred + noise * rough / max(float(rough.std()), 1e-6)
    degraded: NDArray[np.uint8] = np.rint(np.clip(noisy, 0, 1) * LARGEST_PREDICTED).astype(np.uint8)
    return degraded


def ideal_cases(pairs: Sequence[Pair], sigma: float, noise: float) -> Iterator[Case]:
    """Yield cases with the true mask and degraded true distance maps."""
    rng = np.random.default_rng(0)
    for pair in pairs:
        truth = load_pair(pair)[1]
        yield Case(
            truth, (truth > 0).astype(np.float32), degrade(make_distance_map(to_objects(truth)), sigma, noise, rng)
        )


def predicted_cases(pairs: Sequence[Pair], model: Segmenter, tiling: TilingOptions) -> Iterator[Case]:
    """Yield what a model predicts."""
    ensemble = gather_models(model)
    if not ensemble.instances:
        raise SystemExit(f"{model.name} predicts no distance map: it was trained without instances.")
    for pair in pairs:
        pixels, truth = load_pair(pair)
        truth = truth.reshape(truth.shape[-2:])
        source = ValidSource(ArraySource(match_channels(pixels, ensemble.channels, pair.name), "CYX"))
        plan = Predictor(ensemble, tiling, source, truth.size, kind="heights", threshold=None, log=log_nothing)
        zoom = find_zoom(source, plan, SegmentOptions(tiling=tiling, write=OutputOptions(output="labels")))
        seen = source if zoom == 1 else source.zoomed(zoom)
        bands: dict[Kind, list[NDArray[Any]]] = {"probabilities": [], "heights": []}
        for kind, collected in bands.items():
            predictor = Predictor(ensemble, tiling, seen, truth.size, kind=kind, threshold=SURELY, log=log_nothing)
            predictor.run(seen, [predictor.grid(seen.info).whole(0)], collected.extend)
        probabilities, heights = (np.concatenate(bands[kind], axis=1)[-1] for kind in ("probabilities", "heights"))
        if zoom == 1:
            yield Case(truth, probabilities, heights)
        else:
            yield Case(nearest(truth, heights.shape), probabilities, heights, zoom, truth)


def nearest(labels: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """Return labels (H, W) in other pixels: the nearest of each."""
    places = (
        (2 * np.arange(length) + 1) * stored // (2 * length) for stored, length in zip(labels.shape, size, strict=True)
    )
    return labels[np.ix_(*places)]


def label(bands: NDArray[np.uint8], method: Method, smallest: int) -> NDArray[Any]:
    """Return the labels (H, W) of a whole plane."""
    rows = Labels([bands], bands.shape[1:], method=method, smallest=smallest).rows()
    whole: NDArray[Any] = np.concatenate(list(rows), axis=1)[0]
    return whole


def score(cases: Sequence[Case], method: Method, threshold: float, smallest: int) -> InstanceCounts:
    """Count what a method finds in all images."""
    return sum((case.count(threshold, method, smallest) for case in cases), InstanceCounts())


def score_perfect_cuts(cases: Sequence[Case], threshold: float) -> InstanceCounts:
    """Count what would be found if every mask were cut as the truth is: each pixel belongs to the nearest object."""
    total = InstanceCounts()
    for case in cases:
        distance, (rows, columns) = distance_transform_edt(case.truth == 0, return_indices=True)
        labels = case.truth[rows, columns] * ((case.probabilities >= threshold) & (distance < NEAR))
        total += match_instances(labels, case.truth)
    return total


def parse_numbers(text: str) -> list[float]:
    """Read "0.1,0.2"."""
    return [float(part) for part in text.split(",")]


def main(args: list[str] | None = None) -> None:
    """Print a table of AP at 0.5, the best last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/ of instance labels")
    parser.add_argument("--model", type=Path, help="a model with instances")
    parser.add_argument("--val-only", action="store_true", help="only the images that the model was validated on")
    parser.add_argument("--limit", type=int, help="so many of the images, spread over all")
    parser.add_argument("--degrade", type=float, default=1.5, help="blur of the true distance maps, sigma in pixels")
    parser.add_argument("--noise", type=float, default=0.05, help="noise on the true distance maps, standard deviation")
    parser.add_argument("--tta", action="store_true", help="predict in 8 orientations")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--smoothing", default="none,3,5", help=f"of {', '.join(KERNELS)}")
    parser.add_argument("--saddle", type=parse_numbers, default=[0.8, 1.0])
    parser.add_argument("--depth", type=parse_numbers, default=[0.05, 0.075, 0.1, 0.125, 0.15])
    parser.add_argument("--confidence", type=parse_numbers, default=[0.0, 0.4, 0.5, 0.6])
    parser.add_argument("--threshold", type=parse_numbers, help="foreground probabilities; the model's by default")
    parser.add_argument("--min-size", type=int, default=0, help="objects of fewer pixels are left out")
    options = parser.parse_args(args)
    pairs = find_pairs(options.data, None, None)
    if options.model is None:
        thresholds = [0.5]
        pairs = spread(pairs, options.limit)
        cases = list(ideal_cases(pairs, options.degrade, options.noise))
    else:
        model = load_model(options.model)
        thresholds = options.threshold or [model.spec.threshold]
        if options.val_only:
            held_out = set(model.spec.training["data"]["val_images"])
            pairs = [pair for pair in pairs if pair.name in held_out]
        pairs = spread(pairs, options.limit)
        cases = list(predicted_cases(pairs, model, TilingOptions(device=options.device, tta=options.tta)))
    print(f"{len(cases)} images, {sum(len(np.unique(case.truth)) - 1 for case in cases)} objects")
    methods = {"connected": CONNECTED, "by distance": BY_DISTANCE}
    constants = product(options.smoothing.split(","), options.saddle, options.depth, options.confidence)
    for smoothing, saddle, depth, confidence in constants:
        name = f"smoothing {smoothing:4} saddle {saddle:<4g} depth {depth:<5g} confidence {confidence:<4g}"
        methods[name] = by_predicted_distance(confidence, np.array(KERNELS[smoothing], np.float32), saddle, depth)
    found = {
        f"{name:55} threshold {threshold:g}": score(cases, method, threshold, options.min_size)
        for (name, method), threshold in product(methods.items(), thresholds)
    }
    if options.model is not None:
        found |= {f"cut as the truth is: threshold {t:g}": score_perfect_cuts(cases, t) for t in thresholds}
    for name, counts in sorted(found.items(), key=lambda item: average_precision(item[1], 0)):
        print(f"{name}: {average_precision(counts, 0):.4f} ({counts.matches[0]} right of {counts.predicted})")


def spread(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """Return at most so many pairs, spread over all."""
    return list(pairs[:: max(1, -(-len(pairs) // limit))]) if limit else list(pairs)


if __name__ == "__main__":
    main()
