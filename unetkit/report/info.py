"""The table of `unetkit info`: an image as it is interpreted, a model file, or this machine."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from unetkit.backends.registry import backend_info, backend_names, is_installed, version_of
from unetkit.foundation.console import loading
from unetkit.foundation.names import printable
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.series import Series
from unetkit.io.base.space import CODES
from unetkit.io.files import list_series, open_image
from unetkit.models.architectures import ARCHITECTURES
from unetkit.models.builtin_models import MODEL_SUFFIX, builtin_names, builtin_path
from unetkit.models.model_file import MODEL_FILE, hash_file
from unetkit.report.cached import list_cached
from unetkit.report.calibration import CALIBRATION, describe_calibration
from unetkit.report.choice import CHOICE, describe_choice
from unetkit.zoo.kinds import ModelKind, kind_of, known_kind
from unetkit.zoo.references import find_model, is_address

PACKAGES = ("torch", "segmentation-models-pytorch", "lightning", "albumentations", "tifffile", "imagecodecs", "numpy")

SMALLEST_IN_MM_UM = 50.0
"""Voxels whose sides are all this long are told in millimetres."""

ENDS_IN_WORDS = {"L": "left", "R": "right", "P": "back", "A": "front", "I": "feet", "S": "head"}
"""Where an axis runs to, by the letter of `Space.axis_codes`."""

SHOWN_SERIES = 20
"""Most images of one file that are described; plates have hundreds."""


def describe(file: Path | None) -> Table:
    """Return a table of facts about a file or this machine.

    Args:
        file: An image; a model, whatever program wrote it: a path, an address or the name of a built-in one; or None
            for this machine.

    Raises:
        ImageError: The file is no image that can be read.
        ModelError: The model cannot be had, or is of a kind that unetkit cannot run.
    """
    if file is None:
        return facts_table("unetkit on this machine", describe_machine())
    path = find_model(file) if is_address(file) else builtin_path(file) or file
    if kind_of(path) is not None:
        return facts_table(str(file), describe_model(find_model(path)))
    with closing(open_image(file)) as source:
        facts = describe_image(source.info)
    return facts_table(str(file), facts | describe_series(list_series(file)))


def describe_image(info: ImageInfo) -> dict[str, str]:
    """Return the facts about an image by name."""
    planes = f" over {' x '.join(info.plane_axes)}" if info.plane_axes else ""
    what, names = ("planes", "height x width") if len(info.size) == 2 else ("volumes", "depth x height x width")
    values = prod(info.shape)
    return {
        "format": info.format,
        "axes": f"{info.axes} {info.shape}",
        what: f"{info.planes}{planes}",
        "channels": f"{info.channels}{' (and alpha, which is dropped)' if info.alpha else ''}",
        "channel names": ", ".join(info.channel_names) or "not given",
        names: " x ".join(map(str, info.size)),
        "dtype": str(info.dtype),
        "size": f"{values / 1e6:.1f} million values, {values * info.dtype.itemsize / 2**20:.1f} MiB",
        "pixel size": _pixel_size(info.pixel_size_um),
        **({"steps": ", ".join(str(step) for step in info.steps)} if info.steps else {}),
        **_place(info),
        "decoded in": "one piece" if info.block == info.size else f"{' x '.join(map(str, info.block))} blocks",
        "compression": info.compression,
        **({"temporary file": _scratch(info.scratch_bytes)} if info.scratch_bytes else {}),
        **({"remarks": "\n".join(info.remarks)} if info.remarks else {}),
    }


def describe_series(series: Sequence[Series]) -> dict[str, str]:
    """Return the images in a file and the levels of each, by name."""
    if len(series) == 1 and len(series[0].levels) == 1:
        return {}
    facts: dict[str, str] = {}
    for number, one in enumerate(series[:SHOWN_SERIES]):
        name = f" '{one.name}'" if one.name else ""
        lines = [f"{one.axes} {one.shape} {one.dtype}{name}"]
        for level, size in enumerate(one.levels):
            pixel_size = "" if size.pixel_size_um is None else f", {_pixel_size(size.pixel_size_um)}"
            lines.append(f"level {level}: {size.height} x {size.width}{pixel_size}")
        facts[f"series {number}"] = "\n".join(lines)
    if len(series) > SHOWN_SERIES:
        facts["more series"] = f"{len(series) - SHOWN_SERIES}, up to number {len(series) - 1}"
    return facts


def describe_model(path: Path) -> dict[str, str]:
    """Return everything that is known of a model by name; of the training images' digests only their number.

    Args:
        path: A file or folder of any kind of model.

    Raises:
        ModelError: It is damaged, or of a kind that unetkit cannot run.
    """
    kind = known_kind(path)
    spec = kind.describe(path)
    facts: dict[str, str] = {} if _is_own(kind) else {"kind": kind.name}
    for name, value in dataclasses.asdict(spec).items():
        if name in ARCHITECTURES[spec.arch].unused:
            continue
        nested = value if isinstance(value, dict) else {"": value}
        for key, entry in nested.items():
            facts[f"{name} {key}".strip().replace("_", " ")] = _text(entry)
    if (calibration := spec.training.get(CALIBRATION)) is not None:
        facts[f"training {CALIBRATION}"] = describe_calibration(calibration)
    if (choice := spec.training.get(CHOICE)) is not None:
        facts[f"training {CHOICE}"] = describe_choice(choice)
    if spec.training_images is not None:
        facts["training images digests"] = f"{len(spec.training_images.digests)} of images with masks"
    whole = {
        "classification": "it classifies whole images (--output classes, --output attention)",
        "reconstruction": "it restores images (--output restored)",
    }
    sha256 = {"sha256": hash_file(weights)} if (weights := _weights_of(path)) is not None else {}
    if spec.task in whole:
        return facts | {"masks": f"none: {whole[spec.task]}"} | sha256
    if spec.planes > 1:
        facts["planes"] = f"{spec.planes} at once, of which the middle one is predicted"
    facts["instances"] = f"touching objects are {'' if spec.instances else 'not '}separated"
    smallest = f"{spec.smallest_object} pixels: labels leave out smaller ones (--min-size)"
    facts["smallest object"] = smallest if spec.smallest_object else "not known"
    stated = spec.halo_error is not None if spec.foreign is None else spec.foreign.halo_known
    if not _is_own(kind) and not stated:
        facts["halo"] = "not stated: it is measured on the first image"
    return facts | sha256


def _is_own(kind: ModelKind) -> bool:
    return kind is known_kind(Path(f"model{MODEL_SUFFIX}"))


def _weights_of(path: Path) -> Path | None:
    """Return the file of a model that says which one it is; None for a folder without one."""
    file = path / MODEL_FILE if path.is_dir() else path
    return file if file.is_file() else None


def describe_machine() -> dict[str, str]:
    """Return versions, devices, backends and what is kept in caches, by name."""
    with loading():
        import torch

        from unetkit.inference.tuning.device import describe_device, has_bfloat16

    trains = ", bfloat16 in training" if has_bfloat16() else ""
    devices = [f"cpu: {describe_device(torch.device('cpu'))}{trains}"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        devices.append(f"cuda:{index}: {properties.name}, {memory}, CUDA {torch.version.cuda}")
    if torch.backends.mps.is_available():
        devices.append("mps: Apple GPU")
    return {
        "unetkit": version("unetkit"),
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{name: version(name) for name in PACKAGES},
        "devices": "\n".join(devices),
        **{f"backend {name}": describe_backend(name) for name in backend_names()},
        "built-in models": ", ".join(builtin_names()) or "none",
        **{f"kept: {cached.kind}": str(cached) for cached in list_cached()},
    }


def describe_backend(name: str) -> str:
    """Return which version of a backend is installed, or the command that installs it, and its precisions."""
    info = backend_info(name)
    if is_installed(name):
        versions = (f"{package} {version_of(package)}".strip() for package in info.packages or ("torch",))
        installed = ", ".join(versions)
    else:
        installed = f"not installed: {info.install}"
    kinds = (f"{kind}: {', '.join(precisions)}" for kind, precisions in info.precisions.items())
    return "\n".join((installed, *kinds))


def facts_table(title: str, facts: dict[str, str]) -> Table:
    """Return a table of facts by name."""
    table = Table("", "", title=escape(printable(title)), title_justify="left", show_header=False)
    for name, value in facts.items():
        table.add_row(name, escape(printable(value)))
    return table


def _place(info: ImageInfo) -> dict[str, str]:
    """Return how large voxels are and where a volume lies, for an image with planes along Z."""
    facts = {}
    depth = next((step.size for step in info.steps if step.axis == "Z" and step.unit == "µm"), None)
    if depth is not None and info.pixel_size_um is not None:
        sizes = (depth, *info.pixel_size_um)
        factor, unit = (1000, "mm") if min(sizes) >= SMALLEST_IN_MM_UM else (1, "µm")
        facts["voxel size"] = f"{' x '.join(f'{size / factor:g}' for size in sizes)} {unit} (z, y, x)"
    if info.space is not None:
        codes = info.space.axis_codes
        ways = ", ".join(f"{axis} to the {ENDS_IN_WORDS[code]}" for axis, code in zip("xyz", codes, strict=True))
        facts["orientation"] = f"{codes}: {ways}"
        first = ", ".join(f"{row[3]:g}" for row in info.space.affine[:3])
        known = CODES[info.space.code] if 0 <= info.space.code < len(CODES) else f"number {info.space.code}"
        facts["space"] = f"{known}; first voxel at {first} mm (right, front, up)"
    return facts


def _scratch(size: int) -> str:
    return f"{size / 2**20:.0f} MiB while it is read, because it is compressed in pieces too large for memory"


def _pixel_size(size: tuple[float, ...] | None) -> str:
    if size is None:
        return "not given"
    return f"{' x '.join(f'{one:g}' for one in size)} µm ({', '.join('zyx'[-len(size) :])})"


def _text(value: Any) -> str:
    """Write a value for people: lists with commas, and "not given" for none."""
    if value is None or value in ((), {}):
        return "not given"
    if isinstance(value, dict):
        return "\n".join(f"{key.replace('_', ' ')}: {_text(entry)}" for key, entry in value.items())
    return ", ".join(str(entry) for entry in value) if isinstance(value, (list, tuple)) else str(value)
