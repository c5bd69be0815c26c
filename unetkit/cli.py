"""The command line: one function for each verb, its signature the options. Heavy imports happen inside the verbs."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

from unetkit.exporting.options import DEFAULT_EXPORT, ExportOptions
from unetkit.foundation.errors import ConfigError, UnetkitError, closest, explain
from unetkit.inference.tiling.object_options import NO_OBJECTS, ObjectOptions
from unetkit.inference.tiling.options import (
    DEFAULT_OUTPUT,
    DEFAULT_TILING,
    OutputOptions,
    SegmentOptions,
    TilingOptions,
)
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.measuring.options import DEFAULT_MEASURE, MeasureOptions

MOST_SUMMARIES = 10
"""Most images whose numbers are printed."""


def segment_command(
    images: list[Path],
    result: Path,
    model: list[Path] = [],  # noqa: B006  # only read
    read: ReadOptions = WHOLE,
    tiling: TilingOptions = DEFAULT_TILING,
    write: OutputOptions = DEFAULT_OUTPUT,
    objects: ObjectOptions = NO_OBJECTS,
    verify_seams: bool = False,
    dry_run: bool = False,
) -> None:
    """Segment images of any size: find the objects in them.

      unetkit segment image.tif mask.tif
      unetkit segment slides/*.svs masks --model runs/mine-1/model.safetensors --output labels

    Args:
        images: TIFF, OME-Zarr, PNG or JPEG; a folder of them, a pattern such as "slides/*.svs", or several of these.
        result: .tif, .zarr or .png; for several images the folder that gets one .tif for each; for the output "classes"
            a .csv. An OME-Zarr image itself, or a folder of them, gets a mask or labels inside.
        model: The model.safetensors of a run, or of several, whose mean counts; a folder stands for all below it. Or
            the name of a built-in model; by default "nuclei".
        read: How images are read.
        tiling: How they are predicted.
        write: How results are written.
        objects: What is written of each object.
        verify_seams: Compare tiles of the result with passes that see far more of the image, and print how they differ.
        dry_run: Print what would be done and how long it would take, and do nothing.
    """
    from unetkit.foundation.console import loading, log, pixel_progress, show
    from unetkit.inference.run.jobs import check_extras, take_order

    options = SegmentOptions(read, tiling, write, objects)
    check_extras(write.output, verify_seams=verify_seams, dry_run=dry_run)
    order = take_order(images, result, model, options, log)
    with loading():
        from unetkit.inference.preview import preview
        from unetkit.inference.segment import SegmentRun
        from unetkit.report.segmented import describe_preview, summarize

    if dry_run:
        show(describe_preview(preview(order, options)))
        return
    with pixel_progress() as progress:
        done = SegmentRun(options, progress, log, verify_seams).run(order)
    for line in summarize(done, order.result):
        log(line)


def evaluate_command(
    prediction: Path,
    truth: Path,
    threshold: float | None = None,
    invert: bool = False,
    classes: int = 2,
    tolerance: float = 2.0,
    pages: str | None = None,
    instances: bool = False,
    ignore: int | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Score masks against the true ones: Dice, IoU, precision, recall, boundary F1; and objects: AP, F1, PQ.

      unetkit evaluate results my_images/masks

    Args:
        prediction: Mask, or a folder of masks.
        truth: True mask, or a folder of them with the same names; endings of masks, such as _mask, do not matter. Or
            annotations of QuPath, Fiji, labelme or COCO.
        threshold: A value of the prediction above this is foreground. By default above 0; above 0.5 for probabilities
            from 0 to 1, and above half of the highest value for masks with blurred borders.
        invert: Score the background instead, for example membranes that are drawn as 0.
        classes: Number of mask values, the background included; above 2 each class is scored by itself.
        tolerance: Distance in pixels within which a boundary pixel counts as found.
        pages: Pages of stacks to score, for example "24-26,30"; all by default.
        instances: Score the objects too: both sides are instance labels (of `segment --output labels`, for example).
        ignore: Value in the truth of pixels that nobody has annotated, for example 255: they are not scored.
        json: File for all scores as JSON.
        csv: File for all scores as a table.
        overwrite: Replace these files if they exist.
    """
    from unetkit.foundation.atomic import check_target
    from unetkit.foundation.console import log, show
    from unetkit.scoring.evaluation import evaluate

    for file in (json, csv):
        if file is not None:
            check_target(file, overwrite)
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


def measure_command(labels: Path, image: Path | None, table: Path, measuring: MeasureOptions = DEFAULT_MEASURE) -> None:
    """Measure the objects of label images: a table with size, shape and intensities of each.

      unetkit measure labels.tif objects.csv
      unetkit measure labels.tif image.tif objects.csv --ring 5um

    Args:
        labels: TIFF, OME-Zarr or PNG with a number for each object and 0 for background, of any program; or a folder of
            them.
        image: Image whose intensities are measured, or a folder of images with the names of the labels; may be left
            out.
        table: .csv or .parquet; for a folder of labels the folder that gets a .csv for each and summary.csv.
        measuring: What is measured.
    """
    from unetkit.foundation.console import log, pixel_progress
    from unetkit.measuring.measure import measure
    from unetkit.objects.summary import describe_summary

    with pixel_progress() as progress:
        done = measure(labels, image, table, **vars(measuring), log=log, progress=progress)
    for summary in done[:MOST_SUMMARIES]:
        log(describe_summary(summary))
    if len(done) > MOST_SUMMARIES:
        log(f"... and {len(done) - MOST_SUMMARIES} more.")
    log(f"Written to {table}.")


def export_command(
    labels: Path,
    result: Path,
    image: Path | None = None,
    no_measurements: bool = False,
    suffix: str = ".geojson.gz",
    exporting: ExportOptions = DEFAULT_EXPORT,
    measuring: MeasureOptions = DEFAULT_MEASURE,
) -> None:
    """Export the objects of label images to QuPath (GeoJSON) or Fiji (ROIs), with exact outlines.

      unetkit export labels.tif objects.geojson.gz
      unetkit export labels.tif rois.zip

    Args:
        labels: TIFF, OME-Zarr or PNG with a number for each object and 0 for background, of any program; or a folder of
            them.
        result: .geojson or .geojson.gz for QuPath, .zip for ROIs of ImageJ and Fiji; for a folder of labels the folder
            that gets a file for each.
        image: Image whose intensities are measured in the objects, for QuPath; or a folder of images with the names of
            the labels.
        no_measurements: Give objects no measurements: the file is smaller, and takes half the time.
        suffix: Ending of the files in a folder of results.
        exporting: How objects are written.
        measuring: What is measured.
    """
    from unetkit.foundation.console import log, pixel_progress
    from unetkit.measuring.export import export

    with pixel_progress() as progress:
        counts = export(
            labels,
            result,
            image,
            no_measurements=no_measurements,
            suffix=suffix,
            **vars(exporting),
            **vars(measuring),
            log=log,
            progress=progress,
        )
    images = f" of {len(counts)} label images" if len(counts) > 1 else ""
    log(f"{sum(counts):,} objects{images} written to {result}.")


def plan_command(
    data: str,
    masks: str | None = None,
    pages: str | None = None,
    val: float | str | None = None,
    val_masks: str | None = None,
    val_pages: str | None = None,
    unpaired: Literal["stop", "skip"] | None = None,
    ignore: int | None = None,
    colors: str | None = None,
    minutes: float | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Look at images and masks, and write a configuration for `fit` that suits them and this machine.

      unetkit plan my_images --minutes 30

    Args:
        data: A folder with `images` and `masks` in it, or with both side by side; a stack or a folder of images (with
            --masks); or a CSV with the columns image and mask.
        masks: Folder, stack or file of the masks, where `data` does not have them; or annotations of QuPath, Fiji,
            labelme or COCO.
        pages: Pages of the stack to train on, for example "0-20,24"; all by default.
        val: Images to validate on: a fraction, or any of the forms of `data`; by default a fraction that is chosen.
        val_masks: Masks of `val`.
        val_pages: Pages of the stack to validate on.
        unpaired: What to do with images without a mask and masks without an image: "stop" (the default) or "skip".
        ignore: Value in the masks of pixels that nobody has annotated, for example 255; by default there are none.
        colors: File with the colours of the classes in masks in colours: .csv (columns name and color), .json or .yaml.
        minutes: Minutes that the whole run may take: `fit` then ends within them. By default about 25 on a processor
            and 40 on a GPU.
        out: File to write; by default the name of the data and .yaml, in this folder.
        overwrite: Replace this file if it exists.
    """
    from unetkit.data.pairs import check_exists
    from unetkit.data.places import name_of
    from unetkit.foundation.atomic import check_target
    from unetkit.foundation.console import loading, log

    for named in (data, masks, val if isinstance(val, str) else None, val_masks):
        if named is not None:
            check_exists(Path(named))
    target = out or Path(f"{name_of(data)}.yaml")
    check_target(target, overwrite)
    with loading():
        from unetkit.planning.plan import make_plan
        from unetkit.planning.write import describe, write_plan

    place = {"train": data, "masks": masks, "pages": pages, "val": val, "val_masks": val_masks, "val_pages": val_pages}
    place |= {"unpaired": unpaired, "ignore": ignore, "colors": colors}
    log(f"Looking at {data}, and trying out a few steps.")
    plan = make_plan({f"data.{name}": value for name, value in place.items() if value is not None}, minutes)
    for line in describe(plan):
        log(line)
    write_plan(plan, target, overwrite=overwrite)
    log(f"\nWritten to {target}. Train with: unetkit fit --config {shlex.quote(str(target))}")


def rasterize_command(
    annotations: Path,
    image: Path,
    result: Path,
    output: Literal["mask", "labels", "classes"] = "mask",
    classes: str | None = None,
    ignore: str | None = None,
    overwrite: bool = False,
) -> None:
    """Make masks of what people drew: in QuPath (GeoJSON), Fiji (ROI), labelme, or as COCO.

      unetkit rasterize slide.geojson slide.svs mask.tif
      unetkit rasterize drawn my_images masks --output classes

    Args:
        annotations: Annotation file; a folder with one for each image; or a COCO file for all images.
        image: The image that was annotated, or the folder of the images. Only sizes are read.
        result: .tif, .zarr or .png; for a folder of images the folder that gets one .tif for each.
        output: "mask" is 0 background and 255 foreground. "labels" gives each object a number of its own, "classes"
            each class. Later objects cover earlier ones.
        classes: Names of the classes in the order of their numbers, from 1, for example "stroma,tumour"; by default
            they are sorted.
        ignore: Names of classes whose pixels are ignored, beside "ignore": they get the largest value, 255 in masks.
            Where there are objects of the class "region", all outside of them is ignored.
        overwrite: Replace existing outputs.
    """
    from unetkit.data.rasterize import describe, rasterize
    from unetkit.foundation.console import log

    done = rasterize(
        annotations, image, result, output=output, classes=classes, ignore=ignore or (), overwrite=overwrite
    )
    for line in describe(done):
        log(line)


def demo_command(folder: Path = Path("demo"), seed: int = 0, overwrite: bool = False) -> None:
    """Make synthetic cells, train on them, segment a mosaic, score it and draw the result, in a few minutes on a CPU.

    Args:
        folder: Folder for all files of the demo.
        seed: Seed of the synthetic cells.
        overwrite: Replace an earlier demo.
    """
    from unetkit.foundation.console import loading

    with loading():
        from unetkit.demo import run_demo

    run_demo(folder, seed, overwrite, main)


def info_command(file: Path | None = None, /) -> None:
    """Show what an image or a model file holds; without one, versions and devices of this machine.

    Args:
        file: TIFF, PNG, JPEG, OME-Zarr, model.safetensors, or the name of a built-in model.
    """
    from unetkit.foundation.console import show
    from unetkit.report.info import describe

    show(describe(file))


VERBS: dict[str, Callable[..., None]] = {
    "segment": segment_command,
    "measure": measure_command,
    "export": export_command,
    "evaluate": evaluate_command,
    "plan": plan_command,
    "rasterize": rasterize_command,
    "demo": demo_command,
    "info": info_command,
}
"""Verbs whose options are the arguments of a function."""

ABOUT = """Find and outline objects in microscopy images with a U-Net.

Segment an image with the built-in model for nuclei, and train a model on images and masks of your own:

  unetkit segment image.tif mask.tif
  unetkit fit --data.train my_images
"""

TRAINING_SUMMARIES = {
    "fit": "Train a U-Net on a folder of images and masks.",
    "pretrain": "Train a U-Net to restore damaged images, without masks: to clean images, or as a start for `fit`.",
}
"""Verbs that train, with their line in the help."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: What follows `unetkit`; `sys.argv[1:]` by default.

    Returns:
        Exit code: 0 when done, 2 for an error that the user can correct, 130 when stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(list(sys.argv[1:] if args is None else args))
    except UnetkitError as error:
        from unetkit.foundation.console import complain

        complain(error.problem, error.remedy)
        return 2
    except BrokenPipeError:  # what reads our output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:  # no file of the user, so a fault of unetkit
            raise
        from unetkit.foundation.console import complain

        complain(*explain(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:  # the parser ends so after --print_config
        return end.code if isinstance(end.code, int) else 1


def _run(args: list[str]) -> int:
    """Find the verb and call it."""
    from unetkit.foundation.console import log

    verb, rest = (args[0], args[1:]) if args else ("--help", [])
    if verb in ("-h", "--help"):
        log(_usage())
    elif verb == "--version":
        from unetkit import __version__

        log(f"unetkit {__version__}")
    elif verb in TRAINING_SUMMARIES:
        return _train(verb, rest)
    elif verb in VERBS:
        from unetkit.commandline.calling import call

        call(VERBS[verb], verb, rest)
    else:
        raise ConfigError(f"There is no command '{verb}'.", closest(verb, [*TRAINING_SUMMARIES, *VERBS]))
    return 0


def _train(verb: str, args: list[str]) -> int:
    """Show the help of a verb that trains; or check its settings, without PyTorch, and train."""
    from unetkit.foundation.console import loading, log
    from unetkit.training.settings.config import from_arguments
    from unetkit.training.settings.help import help_of
    from unetkit.training.settings.tasks import FIT, PRETRAIN

    settings = {"fit": FIT, "pretrain": PRETRAIN}[verb]
    if asked := {"-h", "--help", "--help-all"}.intersection(args):
        log(help_of(settings, everything="--help-all" in asked))
        return 0
    config = from_arguments(settings, args)
    config.check()
    with loading():
        from unetkit.training.fit import run_fit, run_pretrain
    done = run_fit(config) if settings is FIT else run_pretrain(config)
    return 130 if done.interrupted else 0


def _usage() -> str:
    """Return the text of `unetkit --help`."""
    from unetkit.commandline.help_text import help_page

    summaries = {name: _summary(verb) for name, verb in VERBS.items()}
    commands = {"segment": summaries.pop("segment"), **TRAINING_SUMMARIES, **summaries}
    about = {
        "--help": "Show this text; after a command, its options.",
        "--version": "Show the version.",
    }
    return help_page("unetkit COMMAND ...", ABOUT, {"Commands": list(commands.items()), "Options": list(about.items())})


def _summary(verb: Any) -> str:
    return (verb.__doc__ or "").split("\n")[0]
