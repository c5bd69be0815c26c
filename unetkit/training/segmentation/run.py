"""Training on masks: a run whose model has its halo measured, its objects scored and a picture drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from lightning.pytorch import Trainer

from unetkit.data.datamodule import SegmentationData
from unetkit.data.places import name_of
from unetkit.foundation.console import log
from unetkit.foundation.errors import OutputError
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.report.calibration import CALIBRATION
from unetkit.report.choice import CHOICE
from unetkit.training.run.budget import budget_of
from unetkit.training.run.callbacks import SCORES
from unetkit.training.run.loop import End, best_of, describe_run, run_training
from unetkit.training.run.processes import end_children
from unetkit.training.run.training_run import TrainingRun
from unetkit.training.segmentation.images import look_at_images
from unetkit.training.segmentation.measuring import note_halo
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.objects import pool_objects
from unetkit.training.segmentation.report import remarks, report
from unetkit.training.segmentation.result import SegmentationResult
from unetkit.training.settings.tasks import FIT
from unetkit.zoo.opening import load_model

CHOSEN = (CALIBRATION, CHOICE)
"""Keys in `ModelSpec.training` of what was chosen at the end of a run."""


class SegmentationRun(TrainingRun):
    """A run of `fit` on masks."""

    settings = FIT
    module = SegmentationModule
    data = SegmentationData
    scores = SCORES
    target = "mask.tif"

    def instantiate_classes(self) -> None:
        """Build what the settings describe; the data take what planning, or another fold, has decoded."""
        super().instantiate_classes()
        if self.run_config.store is not None:
            self.datamodule.use_store(self.run_config.store)

    def default_name(self) -> str:
        """Return the name of the folder of the data."""
        return name_of(self.config.data.train)

    def train(self, *, resume: bool) -> SegmentationResult:
        """Train, see `train`."""
        return train(self.trainer, self.model, self.datamodule, resume=resume)

    def remarks(self, result: SegmentationResult) -> list[str]:
        """Return sentences on what was measured at the end."""
        return remarks(result, self.datamodule)

    def report(self, result: SegmentationResult) -> None:
        """Log what the run gave, and what to do with it."""
        report(result, self.trainer, self.datamodule)


def train(
    trainer: Trainer, module: SegmentationModule, data: SegmentationData, *, resume: bool = False
) -> SegmentationResult:
    """Train, and finish the model file: its halo is measured, its result noted, a picture of it drawn.

    Stopping with Ctrl-C keeps the best model so far and finishes it in the same way. Where several processes train, the
    first finishes the model, and all return its result.

    Args:
        trainer: From `make_trainer`.
        module: What is trained.
        data: What it is trained on.
        resume: Go on from the last whole epoch in the run folder.

    Raises:
        UnetkitError: The data or settings do not fit, or there is nothing to resume.
    """
    folder = Path(trainer.default_root_dir)
    return run_training(trainer, module, data, lambda end: _finish(trainer, data, folder, end), resume=resume)


def _finish(trainer: Trainer, data: SegmentationData, folder: Path, end: End) -> SegmentationResult:
    """Complete the best model and draw what it does.

    Measuring takes a while. What is known already is written first, so Ctrl-C loses only the measurements.
    """
    path = folder / MODEL_FILE
    keeper = best_of(trainer)
    segmenter = load_model(path, trainer.strategy.root_device)
    # a resumed run that trained no better model has chosen already
    known = {key: segmenter.spec.training[key] for key in CHOSEN if key in segmenter.spec.training}
    best_dice = keeper.best_scores.get("val_dice")
    training = describe_run(trainer, data, val_dice=best_dice) | known
    segmenter.spec = replace(segmenter.spec, smallest_object=data.smallest_object().pixels, training=training)
    save_model(segmenter, path)
    halo, objects, interrupted = None, {}, end.interrupted
    if end is not End.HURRIED:
        log("Measuring the halo of the model." if not interrupted else "Measuring the halo of the best model so far.")
        try:
            budget = budget_of(trainer)
            halo = note_halo(segmenter, data, None if budget is None else budget.halo_positions)
            _choose(segmenter, data, cast(SegmentationModule, trainer.lightning_module))
            looked = look_at_images(segmenter, data)
            objects = pool_objects(looked.objects)
            segmenter.spec = replace(segmenter.spec, training=segmenter.spec.training | objects)
            save_model(segmenter, path)
            looked.write(folder)
        except KeyboardInterrupt:
            end_children(trainer)
            interrupted = True
            save_model(segmenter, path)
        except OutputError as error:
            log(f"There are no pictures: {error.problem} {error.remedy}")
    scores, compared = keeper.best_scores | objects, keeper.compare_start()
    chosen = {key: segmenter.spec.training.get(key) for key in CHOSEN}
    return SegmentationResult(
        folder, path, keeper.best_epoch + 1, scores, interrupted, best_dice, halo, compared, **chosen
    )


def _choose(segmenter: Segmenter, data: SegmentationData, module: SegmentationModule) -> None:
    """Choose settings, then objects, by the images that were set aside; what was chosen before stays."""
    from unetkit.training.segmentation.calibration import calibrate  # here, as only the end of a run needs it
    from unetkit.training.segmentation.choosing_objects import choose_objects
    from unetkit.training.segmentation.examples import held_out_examples

    if CALIBRATION not in segmenter.spec.training:
        examples = held_out_examples(data, instances=segmenter.spec.instances)
        calibrate(segmenter, examples, keep_threshold=module.threshold is not None)
    if CHOICE not in segmenter.spec.training:
        choose_objects(segmenter, data)
