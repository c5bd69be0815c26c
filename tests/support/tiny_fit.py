"""Settings with which a run takes a second or two."""

from __future__ import annotations

from collections.abc import Callable

SETTINGS = """
    --model.encoder resnet18 --model.depth 3 --model.decoder_channels [8,8,8] --model.lr 0.003 --data.val 0.4
    --data.crop 64 --data.crops_per_epoch 8 --data.batch_size 4 --data.workers 0 --data.augment light
    --trainer.accelerator cpu --trainer.max_epochs 2 --plan false
"""

SMALL_HALO = {
    **{"CANVAS_SIZE": 256, "WINDOW_SIZE": 128, "WINDOWS_PER_AXIS": 2, "LARGEST_HALO": 48},
    **{"VOLUME_CANVAS": 48, "VOLUME_WINDOW": 32},
}
"""Values in unetkit.inference.tiling.halo with which a halo is measured soon."""

FEW_TIMED_CROPS = {"TIMED_STEPS": 1, "TIMED_PIXELS": 64**2}
"""Values in unetkit.planning.timing with which a plan is made soon."""

Fit = Callable[..., tuple[int, str]]
"""fit(runs, *more arguments) -> exit code, standard output."""
