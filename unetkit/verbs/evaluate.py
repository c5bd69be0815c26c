"""`unetkit evaluate`."""

from __future__ import annotations

from pathlib import Path

from unetkit.cluster.options import ALONE, ClusterOptions


def evaluate_command(
    prediction: Path,
    truth: Path,
    threshold: float | None = None,
    invert: bool = False,
    classes: int = 2,
    tolerance: float | str = 2.0,
    pages: str | None = None,
    instances: bool = False,
    ignore: int | None = None,
    dims: int | None = None,
    pixel_size_um: str | None = None,
    boundaries: bool = False,
    json: Path | None = None,
    csv: Path | None = None,
    overwrite: bool = False,
    machines: ClusterOptions = ALONE,
) -> None:
    """Score masks against the true ones: Dice, IoU, boundary F1; volumes: surface Dice, HD95; objects: AP, F1, PQ.

      unetkit evaluate results my_images/masks

    Args:
        prediction: Mask, or a folder of masks.
        truth: True mask, or a folder of them with the same names; endings of masks, such as _mask, do not matter. Or
            annotations of QuPath, Fiji, labelme or COCO.
        threshold: A value of the prediction above this is foreground. By default above 0; above 0.5 for probabilities
            from 0 to 1, and above half of the highest value for masks with blurred borders.
        invert: Score the background instead, for example membranes that are drawn as 0.
        classes: Number of mask values, the background included; above 2 each class is scored by itself.
        tolerance: Distance within which boundaries and surfaces agree: in pixels, or such as 1mm or 0.5um.
        pages: Pages of stacks to score, for example "24-26,30"; all by default.
        instances: Score the objects too: both sides are instance labels (of `segment --output labels`, for example).
        ignore: Value in the truth of pixels that nobody has annotated, for example 255: they are not scored.
        dims: 3 scores stacks as volumes, 2 plane by plane. By default what a model of volumes has written, and medical
            files, are volumes.
        pixel_size_um: Size of a pixel in µm along y,x or z,y,x, such as 2,0.5,0.5, in place of what the truth says.
        boundaries: Score regions between borders too, as neurons between membranes: V_Rand and V_info of the ISBI 2012
            challenge. Of probabilities the best threshold counts.
        json: File for all scores as JSON.
        csv: File for all scores as a table.
        overwrite: Replace these files if they exist.
        machines: Where it is done.
    """
    from unetkit.foundation.atomic import check_target
    from unetkit.foundation.console import log, show
    from unetkit.foundation.progress import pixel_progress
    from unetkit.scoring.evaluation import evaluate

    for file in (json, csv):
        if file is not None:
            check_target(file, overwrite)
    with pixel_progress() as progress:
        scores = evaluate(
            prediction,
            truth,
            threshold=threshold,
            invert=invert,
            classes=classes,
            tolerance=tolerance,
            pages=pages,
            instances=instances,
            ignore=ignore,
            dims=dims,
            pixel_size_um=pixel_size_um,
            boundaries=boundaries,
            **vars(machines),
            log=log,
            progress=progress,
        )
    if json is not None:
        scores.write_json(json, overwrite=overwrite)
    if csv is not None:
        scores.write_csv(csv, overwrite=overwrite)
    for sentence in scores.taken:
        log(sentence)
    show(scores.table())
    if scores.instances is not None:
        show(scores.instances.table())
    if scores.boundaries is not None:
        show(scores.boundaries.table())
