"""The documentation in a package of bioimage.io."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from unetkit.models.spec import ModelSpec
from unetkit.sharing.bioimageio_tensors import halos
from unetkit.sharing.bioimageio_texts import normalisation_sentence


def documentation(spec: ModelSpec, title: str, origin: str, example: str, limits: list[str]) -> str:
    """Return the documentation in Markdown.

    Args:
        spec: The model.
        title: Its name.
        origin: Sentences on what it is for.
        example: Where the test image comes from.
        limits: What the package cannot do.
    """
    scores = {key[4:]: value for key, value in spec.training.items() if key.startswith("val_") and _is_number(value)}
    data = spec.training.get("data", {})
    found = data.get("val_images")
    count = len(found) if isinstance(found, list) else found
    lines = [
        f"# {title}",
        "",
        origin,
        "",
        "## Input and output",
        "",
        f"Normalization: {normalisation_sentence(spec)}",
        "",
    ]
    if spec.instances:
        lines += [
            "The distance map is highest in the middle of each object: a watershed on it tells objects apart.",
            "",
        ]
    error = "it was not measured" if spec.halo_error is None else f"{spec.halo_error:.1g} of the mask's pixels change"
    lines += [
        f"Halo: {' x '.join(map(str, halos(spec)))} pixels; with it, tiles give the mask of the whole image ({error}).",
        f"A pixel is foreground from a probability of {spec.threshold:g} on." if spec.classes == 2 else "",
        *("", "## Training", ""),
        f"{data['train_images']} images were trained on." if "train_images" in data else "Not recorded.",
        *("", "# Validation", ""),
    ]
    if scores:
        on = f"the {count} validation images" if count else "the validation images"
        lines += [f"Scores on {on}, which chose the weights:", "", "| score | |", "|---|---|"]
        lines += [f"| {name} | {value:.3f} |" for name, value in scores.items()]
    else:
        lines += ["No score was recorded in training."]
    lines += [
        "",
        "Measure it on your own images before you use it: draw the masks of some that it has not seen, and compare. "
        "With unetkit: `unetkit segment images/ predictions/ --model model.safetensors`, then "
        "`unetkit evaluate predictions/ masks/`.",
        "",
        f"The test tensors come from {example}.",
    ]
    if limits:
        lines += ["", "## Limits", "", *(f"- {sentence}" for sentence in limits)]
    lines += ["", f"Written by unetkit {version('unetkit')}.", ""]
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
