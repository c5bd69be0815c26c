"""What is logged at the end of a run of `pretrain`."""

from __future__ import annotations

from unetkit.data.unmasked import ImageData
from unetkit.foundation import shell
from unetkit.foundation.console import log
from unetkit.report.run.folder import RESTORED_PICTURE
from unetkit.training.pretraining.module import PretrainModule
from unetkit.training.pretraining.result import PretrainResult
from unetkit.training.run.result import log_best, log_how_to_go_on, log_page


def remarks(result: PretrainResult) -> list[str]:
    """Return sentences on what was measured of the model."""
    return [
        f"A halo of {result.halo.halo} pixels changes {result.halo.error * 1e4:.2g} in 10,000 restored pixels by more "
        "than 1/255 of their range (measured, stored in the model)."
    ]


def report(result: PretrainResult, module: PretrainModule, data: ImageData) -> None:
    """Log what the run gave, and what to do with it."""
    model = shell.quote(str(result.model_file))
    if result.interrupted:
        log_how_to_go_on("pretrain", result.folder)
    counted = "hidden" if module.corruption.hidden else "all"
    score = "" if result.r2 is None else f", R2 of {counted} pixels {result.r2:.3f}"
    log_best(result.model_file, result.epoch, score)
    log(f"Picture of damaged, restored and clean crops: {result.folder / RESTORED_PICTURE}")
    for sentence in remarks(result):
        log(sentence)
    log_page(result.report)
    example = shell.quote(str(data.example_image()))
    log(f"Restore images with it: unetkit segment {example} restored.tif --output restored --model {model}")
    spec = module.spec
    widths = shell.quote(str(list(spec.decoder_channels)).replace(" ", ""))
    dims = "" if spec.dims == 2 else f"--model.dims {spec.dims} "
    shape = f"{dims}--model.encoder {spec.encoder} --model.depth {spec.depth} --model.decoder_channels {widths}"
    log(f"Start from it: unetkit fit --data.train FOLDER {shape} --model.weights {model}")
