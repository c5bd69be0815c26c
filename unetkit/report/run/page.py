"""The page of a run: an HTML file that is made of its folder alone, without its images and without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from unetkit.drawing.html import write_page
from unetkit.foundation.errors import UnetkitError
from unetkit.foundation.words import count, duration
from unetkit.models.model_file import MODEL_FILE
from unetkit.report.calibration import CALIBRATION, reliability_rows
from unetkit.report.info import describe_model
from unetkit.report.run.charts import Chart, Line, make_chart
from unetkit.report.run.commands import go_on
from unetkit.report.run.contents import RunContents, missing, read_run
from unetkit.report.run.folder import METRICS_FILE, SCORES_FILE
from unetkit.report.run.image_section import show_images, whole_pictures
from unetkit.report.run.metrics import RATE, Metrics
from unetkit.report.run.settings_section import settings_rows, write
from unetkit.scoring.table import VALIDATED

LOSSES = {"train_loss": "training", "val_loss": "validation"}
"""Columns of losses, and what they are called."""

LISTED_NAMES = 60
"""Most names of validation images that are listed."""

TASKS = {
    "segmentation": "segments images",
    "reconstruction": "restores images",
    "classification": "classifies whole images",
}


def write_run_page(folder: Path, target: Path) -> None:
    """Write the page of a run.

    Args:
        folder: The run folder.
        target: The page.

    Raises:
        OutputError: It cannot be written.
    """
    run = read_run(folder)
    images = show_images(folder, run.images)
    model, everything = _describe(run)
    write_page(
        target,
        "run.html",
        name=folder.resolve().name,
        status=_status(run),
        facts=list(_facts(run)),
        warnings=run.notes.warnings,
        problems=[*run.problems, *images.problems],
        missing=missing(run),
        charts=list(charts(run.metrics, _kept(run))),
        images=images,
        stale=_is_stale(run),
        hatched=run.notes.data.get("annotated", run.data.get("annotated")) is not None,
        pictures=[] if images.worst else whole_pictures(folder),
        classes=_classes(folder),
        settings=settings_rows(run),
        files=run.notes.files,
        config=run.config_text,
        sentences=run.notes.plan.facts,
        remarks=run.notes.ending.remarks if run.notes.ending else (),
        data=list(_data(run)),
        model=model,
        everything=everything,
        reliability=reliability_rows(None if run.spec is None else run.spec.training.get(CALIBRATION)),
        commands=go_on(folder, run.notes, run.spec, run.config),
    )


def charts(metrics: Metrics, kept: float | None) -> Iterator[Chart]:
    """Yield the charts of a run: loss, scores and learning rate.

    Args:
        metrics: Its epochs.
        kept: Number of the epoch that the model is from, from 1; None if it is not known.
    """
    mark: dict[str, Any] = {"mark": kept, "mark_word": "model"}
    losses = [Line(name, metrics.column(column)) for column, name in LOSSES.items()]
    scores = [
        Line(VALIDATED[column].short, metrics.column(column), faint="pooled" in column)
        for column in sorted(metrics.names, key=lambda name: (name.replace("pooled_", ""), "pooled" in name))
        if column in VALIDATED
    ]
    found = (
        make_chart("Loss", losses, **mark),
        make_chart("Scores of the validation images", scores, most=1.0, **mark),
        make_chart("Learning rate", [Line("learning rate", metrics.column(RATE))], **mark),
    )
    yield from (chart for chart in found if chart is not None)


def _status(run: RunContents) -> str:
    """Return how and when the run ended, or that it has not."""
    files = [path for name in (METRICS_FILE, MODEL_FILE) if (path := run.folder / name).is_file()]
    when = ""
    if files:
        latest = datetime.fromtimestamp(max(path.stat().st_mtime for path in files)).astimezone()
        when = f" {latest:%Y-%m-%d %H:%M}"
    if not run.ended:
        return f"Not finished: it is still going, or was killed. Last change{when or ' unknown'}."
    stopped = run.notes.ending is not None and run.notes.ending.interrupted
    return f"Stopped before its end,{when}." if stopped else f"Finished{when}."


def best_score(run: RunContents) -> tuple[str, float] | None:
    """Return the name, as in `metrics.csv`, and the value of the score that decides; None if there is none."""
    training = {} if run.spec is None else run.spec.training
    for name in (*training, *run.metrics.names):
        if name in VALIDATED:
            value = training.get(name)
            if isinstance(value, int | float):
                return name, float(value)
            values = [score for _, score in run.metrics.column(name)]
            if values:
                return name, max(values) if VALIDATED[name].higher_is_better else min(values)
    return None


def _kept(run: RunContents) -> float | None:
    """Return the epoch that the model is from, from 1."""
    epoch = None if run.spec is None else run.spec.training.get("epoch")
    if isinstance(epoch, int):
        return float(epoch) if epoch else None
    best = best_score(run)
    if best is None:
        return None
    return next((x for x, score in run.metrics.column(best[0]) if score == best[1]), None)


def _facts(run: RunContents) -> Iterator[tuple[str, str]]:
    """Yield the headline facts: what, and how much."""
    training: Mapping[str, Any] = {} if run.spec is None else run.spec.training
    if (best := best_score(run)) is not None:
        yield f"best validation {VALIDATED[best[0]].short}", f"{best[1]:.4f}"
    if isinstance(f1 := training.get("val_f1"), float):
        yield "F1 of the objects, IoU 0.5", f"{f1:.3f}"
    done = len(run.metrics.rows)
    if training.get("epoch") == 0:
        yield "model is from", "before training"
    elif (kept := _kept(run)) is not None:
        yield f"epoch of the model, of {training.get('epochs', done)}", f"{kept:.0f}"
    elif done:
        yield "epochs done", f"{done}"
    if isinstance(images := run.data.get("train_images"), int):
        names = run.data.get("val_images")
        held = len(names) if isinstance(names, list) else 0
        yield "images to train on, to validate on", f"{images} + {held}"
    if isinstance(start := training.get("start"), dict):
        yield "started from", ", licence ".join(start[name] for name in ("weights", "licence") if name in start)
    if run.metrics.seconds:
        yield "training time", duration(run.metrics.seconds)
    if run.spec is not None:
        yield "model file", f"{(run.folder / MODEL_FILE).stat().st_size / 1e6:.1f} MB"
        if run.spec.halo_error is not None:
            yield "halo, in pixels", _halo(run.spec.halo)


def _halo(halo: int | tuple[int, ...]) -> str:
    return str(halo) if isinstance(halo, int) else " x ".join(map(str, halo))


def _is_stale(run: RunContents) -> bool:
    """Return whether the scores of single images are those of an earlier model file."""
    ending = run.notes.ending
    if not run.images or not run.has_notes:
        return False
    return ending is None or bool(ending.sha256 and run.sha256 and ending.sha256 != run.sha256)


def _classes(folder: Path) -> Mapping[str, Any] | None:
    """Return the scores and the confusion table of whole images; None where there are none that can be read."""
    path = folder / SCORES_FILE
    try:
        scores = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if scores is None:
            return None
        names = [str(name) for name in scores["confusion"]["names"]]
        table = [[int(number) for number in row] for row in scores["confusion"]["truth_by_prediction"]]
        each = [
            {name: _share(one[name]) for name in ("auroc", "sensitivity", "specificity")} for one in scores["classes"]
        ]
        if not len(names) == len(table) == len(each):
            return None
        return {"names": names, "rows": list(zip(names, table, each, strict=True)), "threshold": scores["threshold"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _share(value: Any) -> str:
    return "" if value is None else f"{float(value):.3f}"


def _data(run: RunContents) -> Iterator[tuple[str, str]]:
    """Yield facts about the data by name."""
    for name, value in run.data.items():
        if name == "val_images" and isinstance(value, list):
            more = f" and {len(value) - LISTED_NAMES} more" if len(value) > LISTED_NAMES else ""
            yield "validation images", ", ".join(map(str, value[:LISTED_NAMES])) + more
        elif name == "annotated" and isinstance(value, float):
            yield "annotated", f"{value:.1%} of the pixels"
        elif name in ("smallest_image", "largest_image") and isinstance(value, list):
            yield name.replace("_", " "), f"{' x '.join(map(str, value))} pixels"
        elif value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, list) else write(value)
            yield name.replace("_", " "), text


def _describe(run: RunContents) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the most important facts about the model, and all that its file says."""
    spec = run.spec
    if spec is None:
        return [], {}
    try:
        everything = describe_model(run.folder / MODEL_FILE)
    except UnetkitError:  # it has changed since it was read
        return [], {}
    network = spec.arch if "encoder" not in everything else f"{spec.arch} on {spec.encoder}, depth {spec.depth}"
    seen = f" ({', '.join(spec.channel_names)})" if spec.channel_names else ""
    facts = {
        "what it does": TASKS[spec.task],
        "network": network,
        "channels of an image": f"{spec.in_channels}{seen}",
        "planes seen at once": f"{spec.planes}, of which the middle one is predicted" if spec.planes > 1 else "",
        "classes": _class_names(run) if spec.task == "segmentation" else "",
        "classes of whole images": ", ".join(spec.image_classes),
        "touching objects": "separated" if spec.instances else "",
        "threshold": f"{spec.threshold:g}" if spec.task == "segmentation" and spec.classes == 2 else "",
        "lowest confidence of an object": f"{spec.min_confidence:g}" if spec.instances else "",
        "normalisation": f"{spec.normalization.method}, of each {spec.normalization.scope}",
        "halo": _halo_text(run),
        "smallest object": f"{count(spec.smallest_object, 'pixel')}" if spec.smallest_object else "",
        "pixel size": "" if spec.pixel_size_um is None else "{:g} x {:g} µm".format(*spec.pixel_size_um),
        "started from": str(run.config.get("model.weights") or ""),
        "written by": f"unetkit {spec.unetkit_version}",
        "SHA-256 of the file": run.sha256,
    }
    return [(name, text) for name, text in facts.items() if text], everything


def _class_names(run: RunContents) -> str:
    assert run.spec is not None
    names = run.spec.class_names
    if names:
        return ", ".join(f"{number} {name}" for number, name in enumerate(names))
    return "background and foreground" if run.spec.classes == 2 else f"{run.spec.classes}, the background included"


def _halo_text(run: RunContents) -> str:
    assert run.spec is not None
    if run.spec.task == "classification":
        return ""
    error = run.spec.halo_error
    measured = "not measured" if error is None else f"changes {error * 1e4:.2g} in 10,000 pixels (measured)"
    return f"{_halo(run.spec.halo)} pixels, {measured}"
