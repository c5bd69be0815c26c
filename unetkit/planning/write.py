"""A plan in words, and as a configuration for `unetkit fit`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

from unetkit.foundation import shell
from unetkit.foundation.atomic import check_target, partial_file
from unetkit.foundation.names import printable
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts
from unetkit.planning.planned import PLACE_SETTINGS, Planned

COMMENT_WIDTH = 116
"""Most characters in a line of comment."""

PLAIN_YAML_TEXT = r"[./~]*[A-Za-z][\w./-]*"
"""Text that YAML reads as text without quotes."""

YAML_KEYWORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""Words that YAML does not read as text."""

LABEL_KINDS = {
    "binary": "one value for all foreground",
    "instances": "a number for each object",
    "classes": "a number for each class",
}

TIME_COMMENT = "time for the whole run: the learning rate follows the clock, and the run ends within it"

RANDOM_WEIGHTS_COMMENT = "weights: imagenet starts from a trained encoder instead (downloaded once)"


def facts_of(plan: Planned) -> list[str]:
    """Return sentences on the data and the machine, and whether training is needed at all."""
    return [*_facts(plan), *([plan.instead] if plan.instead else [])]


def settings_of(plan: Planned) -> dict[str, Any]:
    """Return what was chosen, by key, without what was given."""
    return {choice.key: choice.value for choice in plan.choices if choice.key not in plan.given}


def describe(plan: Planned) -> list[str]:
    """Return lines with the facts, the choices with their reasons, and the warnings."""
    return [
        *_facts(plan),
        *(["", plan.instead] if plan.instead else []),
        "",
        *(f"{choice.key}: {_flow(choice.value)}  ({choice.why})" for choice in plan.choices),
        *([""] if plan.concerns else []),
        *(f"Warning: {concern.text}" for concern in plan.concerns),
    ]


def to_yaml(plan: Planned, target: Path) -> str:
    """Return the configuration, each setting below its reason.

    Args:
        plan: The plan.
        target: Path of the configuration, for the command in it.
    """
    lines = ["# Planned by `unetkit plan`: a suggestion. Every value can be changed.", "#"]
    command = " ".join(f"unetkit fit --config {shell.quote(str(target))}".splitlines())
    lines += [f"#   {printable(command)}", "#"]
    for text in (
        *_facts(plan),
        *([plan.instead] if plan.instead else []),
        *(f"Warning: {concern.text}" for concern in plan.concerns),
    ):
        lines += _comment(text)
    lines += ["", "seed_everything: 0"]
    if plan.minutes is not None:
        lines += ["", *_comment(TIME_COMMENT), f"minutes: {plan.minutes:g}"]
    for group in ("model", "data", "trainer"):
        own = [choice for choice in plan.choices if choice.key.startswith(f"{group}.")]
        lines += ["", f"{group}:"]
        if group == "model":
            random = {"model.arch", "model.weights"}.isdisjoint(choice.key for choice in own)
            lines += _comment(RANDOM_WEIGHTS_COMMENT, "  ") if random else []
        if group == "data":
            where = {name: plan.given.get(f"data.{name}") for name in PLACE_SETTINGS}
            chosen = {choice.key for choice in own}
            lines += [
                f"  {name}: {_flow(value)}"
                for name, value in where.items()
                if value is not None and f"data.{name}" not in chosen
            ]
        before: list[str] = []
        for choice in own:
            *outer, name = choice.key.split(".")[1:]
            opened = [] if outer == before else [f"{'  ' * (depth + 1)}{part}:" for depth, part in enumerate(outer)]
            lines += [*_comment(choice.why, "  "), *opened, f"{'  ' * (len(outer) + 1)}{name}: {_flow(choice.value)}"]
            before = outer
    return "\n".join(lines) + "\n"


def write_plan(plan: Planned, target: Path, *, overwrite: bool) -> None:
    """Write the configuration.

    Raises:
        OutputError: The file exists and may not be overwritten, or cannot be written.
    """
    check_target(target, overwrite)
    with partial_file(target) as path:
        path.write_text(to_yaml(plan, target), encoding="utf-8", errors="backslashreplace")  # as JSON and YAML do


def _facts(plan: Planned) -> Iterator[str]:
    """Describe the data and the machine."""
    yield _images(plan.facts)
    yield _labels(plan.facts)
    yield _machine(plan.machine)


def _images(facts: Facts) -> str:
    if facts.of_volumes:
        return _volumes(facts)
    planes = "" if facts.files == facts.images else f" (in {facts.files} file{'s' * (facts.files > 1)})"
    smallest, _, largest = facts.sides
    sides = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    channels = " or ".join(map(str, facts.channel_kinds))
    return (
        f"{facts.images} image{'s' * (facts.images > 1)}{planes}: {', '.join(facts.dtypes)}, {channels} "
        f"channel{'s' * (channels != '1')}, {sides} pixels along the shorter side, {facts.pixels / 1e6:.3g} megapixels "
        "in all."
    )


def _volumes(facts: Facts) -> str:
    channels = " or ".join(map(str, facts.channel_kinds))
    voxel = "unknown size" if facts.voxel is None else f"{' x '.join(f'{one:g}' for one in facts.voxel)} µm (z, y, x)"
    typical = " x ".join(map(str, facts.size))
    return (
        f"{facts.images} volume{'s' * (facts.images > 1)}: {', '.join(facts.dtypes)}, {channels} "
        f"channel{'s' * (channels != '1')}, typically {typical} voxels of {voxel}, {facts.pixels / 1e6:.3g} million "
        "voxels in all."
    )


def _labels(facts: Facts) -> str:
    small, middle, large = facts.diameters
    objects = "no object that is drawn whole" if facts.partly else "no objects"
    if facts.objects:
        touching = f", {facts.touching:.0%} of them touching another" if facts.kind == "instances" else ""
        objects = (
            f"{facts.objects:,} objects, {middle:.0f} pixels wide (most of them from {small:.0f} to {large:.0f})"
            f"{touching}"
        )
    annotated, of_these = "", "pixels"
    if facts.partly:
        which = "" if facts.partly == facts.images else f" ({facts.partly} of {facts.images} images in part)"
        annotated, of_these = f"{100 * facts.annotated:.3g} % of the pixels are annotated{which}; ", "annotated pixels"
    shares = f"{annotated}{facts.foreground:.1%} of the {of_these} are foreground"
    return f"Masks: {LABEL_KINDS[facts.kind]}; {objects}; {shares}."


def _machine(machine: Machine) -> str:
    kind = f"GPU {machine.name}" if machine.gpu else f"no GPU; {machine.name}, of which {machine.cores} can be used"
    bfloat16 = ", bfloat16" if machine.bfloat16 else ""
    return f"Machine: {kind}{bfloat16}; {machine.device_memory / 2**30:.0f} GiB of memory free."


def _comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}" for line in wrap(text, COMMENT_WIDTH - len(indent), break_long_words=False)]


def _flow(value: Any) -> str:
    """Write a value as YAML on one line: JSON, but simple words without quotes."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str) and re.fullmatch(PLAIN_YAML_TEXT, value) and value.lower() not in YAML_KEYWORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
