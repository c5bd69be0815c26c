"""Export a model to another runtime, zoo or hub."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetkit.foundation.atomic import check_place, check_target, partial_file, partial_folder
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError, ModelError, OutputError
from unetkit.foundation.options import split_options
from unetkit.models.model_file import MODEL_FILE
from unetkit.sharing.forms import Form, check_options, form_for
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions
from unetkit.zoo.references import model_files

if TYPE_CHECKING:
    from unetkit.models.segmenter import Segmenter
    from unetkit.models.statistics import Statistics

FOLDER_FILES = ("README.md", "config.json", MODEL_FILE)
"""Files by which the folder of an earlier export is known."""

TRAINING = "training"
"""Value of `fixed` for the range of the training images."""


def export_model(
    model: Segmenter | str | Path,
    result: str | Path,
    *,
    overwrite: bool = False,
    log: Callable[[str], None] | None = None,
    **options: Any,
) -> Path:
    """Export a model.

    Args:
        model: A model from `load_model`, or what that takes; or the folder of a run.
        result: The file or folder, which appears whole or not at all.
        overwrite: Whether an existing one is replaced.
        log: Called with sentences for people: the size, what goes in and comes out, five lines of Python that run it.
        options: See `SharingOptions` and `SaidOptions`.

    Returns:
        The file or folder.

    Raises:
        ConfigError: An option has no meaning for the form, or a package is not installed.
        ModelError: There is no such model, the form cannot hold it, or what was written gives something else.
        ImageError: An image cannot be read.
        OutputError: The result exists or cannot be written.
    """
    sharing, said = split_options(options, SharingOptions, SaidOptions)
    path, log = Path(result), log or log_nothing
    form = form_for(path, sharing.format)
    check_options(form, sharing, said)
    _check_place(form, path, overwrite=overwrite)
    own = _load(model)
    segmenter = _with_fixed(own, sharing)
    with partial_file(path) if form.suffixes else partial_folder(path) as place:
        sentences = form.write(segmenter, place, sharing, said)
        if sharing.check is not None:
            sentences.append(_check(form, own, segmenter, place, sharing))
        size = _size(place)
    log(f"{path}: {form.about}, {size / 1e6:.1f} MB.")
    for sentence in sentences:
        log(sentence.replace("FILE", repr(str(path))))
    return path


def _check_place(form: Form, path: Path, *, overwrite: bool) -> None:
    """Raise an OutputError unless the result can be written; a folder of other things is never replaced."""
    if form.suffixes:
        check_target(path, overwrite)
        return
    check_place(path, overwrite)
    if path.exists() and not all((path / name).is_file() for name in FOLDER_FILES):
        raise OutputError(f"{path} is no exported model.", "Choose another name; nothing of it was changed.")


def _load(model: Segmenter | str | Path) -> Segmenter:
    """Load the one model that a name, path or address stands for."""
    from unetkit.models.segmenter import Segmenter
    from unetkit.zoo.opening import load_model

    if isinstance(model, Segmenter):
        return model
    files = model_files(model)
    if len(files) > 1:
        raise ModelError(f"{model} holds {len(files)} models.", f"Give one of them, for example {files[0]}.")
    return load_model(files[0])


def _with_fixed(segmenter: Segmenter, sharing: SharingOptions) -> Segmenter:
    """Return the model with the values that normalise all images, where some are given.

    Raises:
        ConfigError: The model has such values already, or does not know its training images.
    """
    from unetkit.sharing.graphs import takes_raw
    from unetkit.sharing.known_values import with_values

    if sharing.fixed is None:
        return segmenter
    if takes_raw(segmenter.spec):
        raise ConfigError("This model normalises all images alike, so there is nothing to fix.", "Leave fixed out.")
    return with_values(segmenter, _values(segmenter, sharing.fixed))


def _values(segmenter: Segmenter, fixed: Path) -> Statistics:
    """Return the values that normalise an image, or the range of the training images."""
    import numpy as np

    from unetkit.inference.tiling.windows import measure_plane
    from unetkit.io.files import open_image
    from unetkit.models.normalizer import Normalizer
    from unetkit.models.statistics import Statistics

    spec = segmenter.spec
    if str(fixed) != TRAINING:
        with closing(open_image(fixed, dims=spec.dims)) as source:
            (values,) = measure_plane(source, 0, [Normalizer(spec.normalization)], spec.in_channels)
        return values
    seen = spec.training_images
    if seen is None:
        raise ConfigError("This model does not know the range of its training images.", "Give an image as fixed.")
    if spec.normalization.method == "mean_std":
        raise ConfigError(
            "This model normalises by mean and standard deviation, which a range of the training images does not tell.",
            "Give an image as fixed.",
        )
    low, high = np.asarray(seen.low, np.float32), np.asarray(seen.high, np.float32)
    return Statistics(low, np.where(high > low, high - low, 1).astype(np.float32))


def _check(form: Form, own: Segmenter, segmenter: Segmenter, place: Path, sharing: SharingOptions) -> str:
    """Compare what was written with unetkit and return the result in words.

    Args:
        form: Form of the export.
        own: The model as it was given.
        segmenter: The model as it was written, with fixed values where some were given.
        place: The export.
        sharing: What the user chose.
    """
    from unetkit.sharing.compare import changed_pixels, largest_difference

    assert sharing.check is not None
    found, images = largest_difference(form.name, segmenter, place, sharing.check, half=sharing.half)
    several = f"{images} images" if images > 1 else "1 image"
    said = f"Checked on {several}: the largest difference to unetkit's probabilities is {found:.2g}"
    if own is segmenter:
        return f"{said}."
    said = f"{said}, with the same fixed values."
    if own.spec.task != "segmentation":
        return said
    changed = changed_pixels(own, segmenter, sharing.check)
    return f"{said} Of the mask, {changed:.2%} of the pixels differ from unetkit's where it measures each image."


def _size(place: Path) -> int:
    """Return the bytes of a file or of all files in a folder."""
    return sum(path.stat().st_size for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file())
