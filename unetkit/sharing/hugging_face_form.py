"""A model as a folder for the Hugging Face Hub: weights, a description, a card; the user's own tool uploads it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import FORMAT_VERSION, ModelSpec
from unetkit.sharing.model_card import model_name, write_card
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions
from unetkit.sharing.smp_layout import write_smp_layout

CONFIG_FILE, CARD_FILE = "config.json", "README.md"


def write(segmenter: Segmenter, path: Path, sharing: SharingOptions, said: SaidOptions) -> list[str]:
    """Write a model as a folder for the Hub; see `Write`.

    Raises:
        ModelError: The model comes from another program, or is none that smp has.
        ConfigError: A cover was given.
    """
    spec = segmenter.spec
    if spec.foreign is not None:
        raise ModelError("This model comes from another program.", "Share its own file.")
    if said.cover is not None:
        raise ConfigError("A card of Hugging Face has no cover.", "Leave it out; add pictures to README.md.")
    path.mkdir(exist_ok=True)
    dtype = torch.float16 if sharing.half else torch.float32
    added: list[str] | None = None
    if sharing.smp_layout:
        added = write_smp_layout(segmenter, path, dtype)
    else:
        save_model(segmenter, path / MODEL_FILE, dtype)
        text = json.dumps(describe(spec), indent=2, ensure_ascii=False)
        (path / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    write_card(segmenter, path / CARD_FILE, said, added_stages=added)
    return _sentences(segmenter, said)


def describe(spec: ModelSpec) -> dict[str, Any]:
    """Return what a model is, as plain values: its spec without the long lists that are for unetkit alone."""
    from unetkit import __version__

    values = dataclasses.asdict(spec)
    if values["training_images"] is not None:
        values["training_images"].pop("digests")
    if "data" in values["training"]:
        values["training"]["data"].pop("val_images", None)
    values["unetkit_version"] = __version__
    return {"model_type": "unetkit", "format_version": FORMAT_VERSION, **values}


def _sentences(segmenter: Segmenter, said: SaidOptions) -> list[str]:
    name = model_name(segmenter, said)
    sentences = [
        f"Read README.md, write your name for OWNER, then upload: hf upload OWNER/{name} FILE",
        f"Then anyone can use it: unetkit segment IMAGES RESULTS --model hf:OWNER/{name}",
    ]
    if said.license is None:
        sentences.append("No licence is stated, so nobody may use the model: give --license, for example CC-BY-4.0.")
    return sentences
