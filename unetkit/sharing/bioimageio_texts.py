"""What a package of bioimage.io says to people: authors, citations, tags, training data and its documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from bioimageio.spec.dataset.v0_3 import DatasetDescr, DatasetId, LinkedDataset
from bioimageio.spec.model import v0_5
from pydantic import ValidationError

from unetkit.foundation.errors import ConfigError, closest
from unetkit.models.builtin_models import builtin_folder
from unetkit.models.spec import ModelSpec
from unetkit.sharing.said import SaidOptions

AUTHOR = re.compile(r"(?P<name>[^()]+?)\s*(?:\((?P<more>[^()]*)\))?")
ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/)?(?P<doi>10\.\d{4,}/\S+)")

UNET_PAPER = "Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI"
UNET_DOI = "10.1007/978-3-319-24574-4_28"
RESNET_PAPER = "He et al. 2016, Deep Residual Learning for Image Recognition, CVPR (its encoder)"
RESNET_DOI = "10.1109/CVPR.2016.90"
NUCLEI_PAPER = (
    "Caicedo et al. 2019, Nucleus segmentation across imaging experiments, Nature Methods (its training data)"
)
NUCLEI_DOI = "10.1038/s41592-019-0612-7"


@dataclass(frozen=True)
class Texts:
    """What a package says of a model that unetkit cannot see in it."""

    title: str
    about: str
    license: v0_5.LicenseId
    authors: list[v0_5.Author]
    cite: list[v0_5.CiteEntry]
    tags: list[str]
    training_data: LinkedDataset | DatasetDescr | None


def read_said(spec: ModelSpec, model: Path, said: SaidOptions) -> Texts:
    """Return what a user says of a model, checked and completed.

    Args:
        spec: The model.
        model: Its file.
        said: What the user says.

    Raises:
        ConfigError: The licence or the authors are missing, or a text is not as bioimage.io takes it.
    """
    return Texts(
        title=model_title(model, said.title),
        about=about(spec, said),
        license=check_license(said.license),
        authors=read_authors(said.authors),
        cite=citations(spec, model, said.cite),
        tags=tags(spec, model, said.tags),
        training_data=training_data(said.training_data),
    )


def check_license(name: str | None) -> v0_5.LicenseId:
    """Return a licence.

    Raises:
        ConfigError: None is given, or there is no such licence.
    """
    known = get_args(v0_5.LicenseId.root_model.model_fields["root"].annotation)
    if name is None:
        raise ConfigError(
            "bioimage.io takes no model without a licence, and only you know it.",
            "Give --license with its SPDX name, for example --license CC-BY-4.0.",
        )
    if name not in known:
        raise ConfigError(f"There is no licence '{name}'.", closest(name, known))
    return v0_5.LicenseId(name)


def read_authors(texts: list[str] | None) -> list[v0_5.Author]:
    """Return authors from texts such as "Ada Lovelace (University of London, @ada, 0000-0001-2345-6789)".

    Raises:
        ConfigError: There is none, or a text is no author.
    """
    if not texts:
        raise ConfigError(
            "bioimage.io takes no model without authors.",
            'Give --authors, for example --authors "Ada Lovelace (University of London, @ada)".',
        )
    return [_read_author(text) for text in texts]


def _read_author(text: str) -> v0_5.Author:
    found = AUTHOR.fullmatch(text.strip())
    remedy = 'Write "Name" or "Name (affiliation, @github-name, ORCID)".'
    if found is None:
        raise ConfigError(f"'{text}' is no author.", remedy)
    given: dict[str, Any] = {"name": found["name"]}
    places = []
    for part in (word.strip() for word in (found["more"] or "").split(",")):
        if part.startswith("@"):
            given["github_user"] = part[1:]
        elif ORCID.fullmatch(part):
            given["orcid"] = part
        elif part:
            places.append(part)
    if places:
        given["affiliation"] = ", ".join(places)
    try:
        return v0_5.Author(**given)
    except ValidationError as error:
        raise ConfigError(f"'{text}' is no author ({error.errors()[0]['msg']}).", remedy) from error


def citations(spec: ModelSpec, model: Path, texts: list[str] | None) -> list[v0_5.CiteEntry]:
    """Return what is to be cited: the U-Net, its encoder, the data of the built-in model, and what the user names.

    Raises:
        ConfigError: A text has neither a DOI nor an address.
    """
    known = [(UNET_PAPER, UNET_DOI)]
    if spec.arch == "unet" and spec.encoder.startswith("resnet"):
        known.append((RESNET_PAPER, RESNET_DOI))
    if model.parent == builtin_folder():
        known.append((NUCLEI_PAPER, NUCLEI_DOI))
    entries = [v0_5.CiteEntry(text=text, doi=v0_5.Doi(doi)) for text, doi in known]
    return entries + [_read_citation(text) for text in texts or []]


def _read_citation(text: str) -> v0_5.CiteEntry:
    words, _, last = text.strip().rpartition(" ")
    words = words.rstrip(" ,;:") or last
    if found := DOI.fullmatch(last):
        return v0_5.CiteEntry(text=words, doi=v0_5.Doi(found["doi"]))
    if last.startswith(("https://", "http://")):
        return v0_5.CiteEntry(text=words, url=v0_5.HttpUrl(last))
    raise ConfigError(f"'{text}' has neither a DOI nor an address at its end.", 'Write "Our paper 2026, 10.1234/abcd".')


def training_data(text: str | None) -> LinkedDataset | DatasetDescr | None:
    """Return the data set that a model was trained on, by its address or its name on bioimage.io.

    Raises:
        ConfigError: It is neither.
    """
    if text is None:
        return None
    try:
        if text.startswith(("https://", "http://")):
            return DatasetDescr(
                name="Training data", description=f"Training data, see {text}", source=v0_5.HttpUrl(text)
            )
        return LinkedDataset(id=DatasetId(text))
    except ValidationError as error:
        raise ConfigError(
            f"'{text}' is no data set.", "Give an address that begins with https://, or a name on bioimage.io."
        ) from error


def tags(spec: ModelSpec, model: Path, texts: list[str] | None) -> list[str]:
    """Return the words by which the model is found; the first are categories of bioimage.io."""
    words = [
        f"{spec.dims}d",
        "instance-segmentation" if spec.instances else "semantic-segmentation",
        *("unet", "pytorch", "unetkit"),
        *([spec.encoder] if spec.arch == "unet" else []),
        *(["nuclei", "fluorescence-light-microscopy"] if model.parent == builtin_folder() else []),
    ]
    return list(dict.fromkeys([*words, *(texts or [])]))


def model_title(model: Path, title: str | None) -> str:
    """Return the name of a model, of the signs that bioimage.io takes.

    Raises:
        ConfigError: The title has other signs, or is too short or too long.
    """
    if title is None:
        return f"unetkit {re.sub(r'[^A-Za-z0-9_+() -]', '_', model.stem)}"[:64]
    if not re.fullmatch(r"[A-Za-z0-9_+() -]{5,128}", title):
        raise ConfigError(
            f"'{title}' is no title for bioimage.io.",
            "Use 5 to 128 letters of English, digits, spaces, _ + - ( ).",
        )
    return title


def about(spec: ModelSpec, said: SaidOptions) -> str:
    """Return a description in a few sentences."""
    if said.about:
        return said.about[:1024]
    kind = "volumes" if spec.dims == 3 else "images"
    what = "objects, also touching ones," if spec.instances else "the foreground"
    if spec.classes > 2:
        what = ", ".join(spec.class_names[1:]) or f"{spec.classes - 1} classes"
    return f"A U-Net that finds {what} in {kind}. Trained and exported with unetkit {version('unetkit')}."


def training_details(spec: ModelSpec) -> v0_5.TrainingDetails:
    """Return what is known of the training."""
    noted = spec.training
    data = noted.get("data", {})
    return v0_5.TrainingDetails(
        training_preprocessing=f"Normalization: {normalisation_sentence(spec)}",
        training_epochs=noted.get("epoch"),
        training_batch_size=data.get("batch_size"),
    )


def normalisation_sentence(spec: ModelSpec) -> str:
    """Return in words how pixels become the input of the network."""
    how = spec.normalization
    if how.window is not None:
        return f"{how.window[0]:g} becomes 0 and {how.window[1]:g} becomes 1; values beyond are clipped."
    if how.scope == "dataset":
        center, scale = (", ".join(f"{value:.6g}" for value in values or ()) for values in (how.center, how.scale))
        return f"(pixels - {center}) / {scale}, the same for all images."
    if how.method == "mean_std":
        return "the mean of an image becomes 0, one standard deviation 1."
    return f"percentile {how.low:g} of an image becomes 0, percentile {how.high:g} becomes 1; values beyond stay."


def limitations(spec: ModelSpec, *, given: bool) -> list[str]:
    """Return what the package cannot do of what the model does in unetkit, a sentence each.

    Args:
        spec: The model as it is in the package.
        given: Whether it normalises by values that were given at the export.
    """
    said = []
    if given:
        said.append(
            "All images are normalised by the same values, those given at the export: it suits images of the same "
            "stain, exposure and type of pixels."
        )
    if spec.normalization.bright_background == "invert":
        said.append(
            "unetkit inverts images with a bright background, such as stained tissue. A package cannot state that: "
            "invert such images first, or use a package that was exported with --fixed for them."
        )
    if spec.normalization.scope == "image" and spec.normalization.window is None:
        said.append(
            "The normalisation is measured on the whole image. A program that measures each tile, such as QuPath, "
            "gives seams; use a package that was exported with --fixed there."
        )
    if spec.image_classes:
        said.append("The classes of whole images are not part of this package.")
    return said
