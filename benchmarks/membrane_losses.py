"""Losses for membranes that close: training goes on from one model with each of them, on the same crops.

    python benchmarks/membrane_losses.py train-volume.tif train-labels.tif START.safetensors OUT --steps 60

START is a model that `unetkit fit --config configs/em_membrane.yaml` made, perhaps in a short run. Each loss gets as
many steps from there, at a rate that falls to 0, by one thread. Sections 0-20 are trained on. Thresholds of the
probability and drops of `--close` (above 0.5) are tried on sections 21-23, and the best of each by V_Rand is scored on
24-26. OUT gets a model for each loss.

- membrane IoU: of the pixels that are no inside of a neuron, of all sections together, at a probability of 0.5.
- V_Rand and V_info: as in the ISBI 2012 challenge, on thinned borders; means over the sections.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import numpy as np
import tifffile
import torch
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray

from unetkit.data.datamodule import SegmentationData
from unetkit.inference.array import predict_tiled
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.parts import LARGEST_PREDICTED
from unetkit.postprocess.split_by_probability import by_probability
from unetkit.scoring.instances import count_overlaps
from unetkit.scoring.regions import count_regions, find_regions, thin_borders, v_info, v_rand
from unetkit.training.segmentation.losses import build_loss
from unetkit.zoo.opening import load_model

SECTIONS = {"validation": slice(21, 24), "test": slice(24, 27)}
THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
DROPS = (0.03, 0.05, 0.07, 0.1, 0.15)
RATE = 1e-3
PREDICTION: dict[str, Any] = {
    **{"axes": "YX", "output": "probabilities", "backend": "torch", "device": "cpu"},
    **{"tile": 512, "halo": 64},
}

Regions = Callable[[NDArray[np.float32]], NDArray[Any]]


def train(start: Path, loss_name: str, data: SegmentationData, steps: int) -> tuple[Segmenter, float]:
    """Return the model after some more steps, and the seconds of the processor of a step."""
    model = load_model(start).train()
    loss = build_loss(loss_name, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.manual_seed(0)
    began = process_time()
    for step, batch in enumerate(islice(data.train_dataloader(), steps)):
        optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        pixels = model.normalizer(batch["image"], batch["center"], batch["scale"])
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.network(pixels)
        optimizer.zero_grad()
        loss(logits.float(), batch["mask"]).backward()
        optimizer.step()
    return model.eval(), (process_time() - began) / steps


def score(
    inside: dict[str, NDArray[np.float32]], truth: dict[str, NDArray[np.uint8]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the scores of the validation sections, and of those of the test.

    Args:
        inside: Probability of the inside of a neuron, (n, H, W) of each.
        truth: Above 0 inside of a neuron, (n, H, W) of each.
    """
    ways = {f"above {one:g}": _above(one) for one in THRESHOLDS} | {f"close {one:g}": _closed(one) for one in DROPS}
    tried = {name: _regions_scores(inside["validation"], truth["validation"], way) for name, way in ways.items()}
    told = {name: {"membrane IoU": _membrane_iou(inside[name], truth[name])} for name in inside}
    told["validation"] |= {name: _told(*scores) for name, scores in tried.items()}
    for kind in ("above", "close"):
        best = max((name for name in ways if name.startswith(kind)), key=lambda name: tried[name][0])
        scores = _regions_scores(inside["test"], truth["test"], ways[best])
        told["test"][f"best {kind}"] = f"{best}: {_told(*scores)}"
    return told["validation"], told["test"]


def _membrane_iou(inside: NDArray[np.float32], truth: NDArray[np.uint8]) -> str:
    found, true = inside < 0.5, truth == 0
    return f"{np.count_nonzero(found & true) / np.count_nonzero(found | true):.4f}"


def _told(rand: float, information: float) -> str:
    return f"{rand:.4f}, {information:.4f}"


def _regions_scores(inside: NDArray[np.float32], truth: NDArray[np.uint8], regions: Regions) -> tuple[float, float]:
    counts = [
        count_regions(count_overlaps(thin_borders(regions(own)), find_regions(section)), alone=True)
        for own, section in zip(inside, truth, strict=True)
    ]
    return mean(map(v_rand, counts)), mean(map(v_info, counts))


def _above(threshold: float) -> Regions:
    return lambda inside: find_regions((inside > threshold).view(np.uint8))


def _closed(drop: float) -> Regions:
    def regions(inside: NDArray[np.float32]) -> NDArray[Any]:
        mask = inside >= 0.5
        bands = np.stack([mask * 255, mask * np.clip(np.rint(LARGEST_PREDICTED * inside), 1, LARGEST_PREDICTED)])
        labels = Labels([bands.astype(np.uint8)], inside.shape, method=by_probability(drop))
        found: NDArray[Any] = np.concatenate(list(labels.rows()), axis=1)[0]
        return found

    return regions


def main(args: list[str] | None = None) -> None:
    """Train, score and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", type=Path, help="the sections, a multi-page TIFF")
    parser.add_argument("labels", type=Path, help="0 for membrane")
    parser.add_argument("start", type=Path, help="a model of membranes")
    parser.add_argument("out", type=Path, help="a folder for the models")
    parser.add_argument("--losses", nargs="+", default=["bce_dice", "bce_dice_cldice"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(args)
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    stack, labels = (tifffile.imread(path) for path in (chosen.stack, chosen.labels))
    truth = {kind: labels[part] for kind, part in SECTIONS.items()}
    rows: dict[str, list[list[str]]] = {kind: [] for kind in SECTIONS}
    for name in chosen.losses:
        data = SegmentationData(
            str(chosen.stack), str(chosen.labels), "0-20", val_pages="21-23", crop=chosen.crop, batch_size=4,
            augment="light", workers=0, crops_per_epoch=10**6, foreground_share=0, seed=chosen.seed,
            normalization=Normalization(method="mean_std"),
        )  # fmt: skip
        data.setup()
        data.prepare_for(1, 2, (16, 16))
        model, seconds = train(chosen.start, name, data, chosen.steps)
        save_model(model, chosen.out / f"{name}.safetensors")
        inside = {
            kind: np.stack([predict_tiled(section, model, **PREDICTION) for section in stack[part]])
            for kind, part in SECTIONS.items()
        }
        for kind, scores in zip(SECTIONS, score(inside, truth), strict=True):
            rows[kind].append([name, f"{seconds:.3f}", *scores.values()])
            print_table(kind, ["loss", "CPU s of a step", *scores], rows[kind], markdown=True)
    print_machine(describe_machine())


if __name__ == "__main__":
    main()
