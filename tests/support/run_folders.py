"""Run folders as `fit` leaves them, made without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from unetkit.models.model_file import hash_file
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.report.run.notes import Chosen, Ending, PlanNotes, RunNotes
from unetkit.report.run.validated import Picture, ValidatedImages

METRICS = """epoch,step,lr,train_loss,val_dice,val_iou,val_pooled_dice,val_pooled_iou,seconds
0,4,1.000e-03,1.2000,0.4000,0.3000,0.4100,0.3100,2.0
1,8,5.000e-04,0.9000,,,,,1.5
2,12,1.000e-05,0.7000,0.8000,0.7000,0.8100,0.7100,2.5
"""

CONFIG = {"seed_everything": 0, "model": {"encoder": "resnet18", "lr": 0.003}, "data": {"train": "cells", "crop": 64}}

WARNING = "1 image is overexposed (a.tif). Look at it."


def write_run(
    folder: Path, segmenter: Segmenter, dice: Sequence[float] = (0.9, 0.3, 0.7), names: Sequence[str] = ("a", "b", "c")
) -> Path:
    """Write a run that has ended, with validation images of these scores."""
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "trainer": {"max_epochs": 3}}))
    (folder / "last.ckpt").touch()
    data = {"train": "cells", "train_images": 7, "val_images": list(names)}
    training = {"epoch": 3, "epochs": 3, "steps": 12, "val_dice": 0.8, "data": data}
    segmenter.spec = replace(segmenter.spec, training=training, halo_error=1e-5)
    save_model(segmenter, folder / "model.safetensors")
    write_images(folder, dice, names)
    notes = RunNotes(
        given={"data.train": "cells", "model.lr": 0.003},
        plan=PlanNotes((Chosen("data.crop", 64, "objects are 20 pixels wide"),), ("7 images.",), (WARNING,)),
        data=data,
        ending=Ending(False, 20.0, ("A halo.",), "cells/a b.tif", "", hash_file(folder / "model.safetensors")),
    )
    notes.write(folder)
    return folder


def write_images(folder: Path, dice: Sequence[float], names: Sequence[str], **more: Any) -> None:
    """Write `validation.csv` and pictures of noise."""
    validated = ValidatedImages()
    rng = np.random.default_rng(0)
    for name, score in zip(names, dice, strict=True):
        pixels = rng.integers(0, 255, (1, 24, 32), np.uint8)
        truth = np.zeros((24, 32), np.int64)
        truth[4:12, 4:12] = 1
        picture = Picture.of(pixels, truth, np.roll(truth, 3, axis=1))
        validated.add(name, {"dice": score, "iou": score / 2, **more}, score, lambda picture=picture: picture)
    validated.write(folder)
