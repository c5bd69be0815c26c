"""What `model.weights` names: known weights, an address, a built-in model or a file; and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import segmentation_models_pytorch as smp
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unetkit.fetching.hugging_face import HubFile, fetch_weights
from unetkit.fetching.kept_weights import fetch_known
from unetkit.fetching.registry import HUB, KNOWN_WEIGHTS, KnownWeights
from unetkit.foundation.errors import ModelError
from unetkit.models.architectures import architecture_info
from unetkit.models.builtin_models import builtin_path, short_name
from unetkit.models.encoders import smp_name
from unetkit.models.model_file import METADATA_KEY, MODEL_FILE, hash_file, read_spec
from unetkit.models.spec import ModelSpec
from unetkit.models.weight_files import read_weights


@dataclass(frozen=True)
class Origin:
    """Where weights come from, as it is logged and noted in the model file. What is not known is "".

    Attributes:
        weights: What they are called: a name, an address, or the name of a file.
        trained_on: What they were trained on.
        licence: Their licence.
        address: Where they were fetched from.
        sha256: Hash of their file, in hexadecimal.
        citation: Whom to cite.
    """

    weights: str
    trained_on: str = ""
    licence: str = ""
    address: str = ""
    sha256: str = ""
    citation: str = ""

    def noted(self) -> dict[str, str]:
        """Return what is known, by name."""
        values = {field.name: str(getattr(self, field.name)) for field in fields(self)}
        return {name: value for name, value in values.items() if value}

    def __str__(self) -> str:
        """Return what is known in one sentence, or "" where there is nothing but a file."""
        if not self.address:
            return ""
        parts = [
            f"trained on {self.trained_on}" if self.trained_on else "",
            f"licence {self.licence}" if self.licence else "licence not stated",
            f"from {self.address}",
            f"to cite: {self.citation}" if self.citation else "",
        ]
        return "; ".join(part for part in parts if part)


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Attributes:
        state: The weights by their names in the file.
        source: Description of the unetkit model that they are of; None for others.
        origin: Where they come from.
    """

    state: dict[str, Tensor]
    source: ModelSpec | None
    origin: Origin


def open_start(weights: str, spec: ModelSpec) -> Start:
    """Fetch and read the weights that a network starts from.

    Args:
        weights: A name of known weights such as "imagenet" or "micronet"; the name of a built-in model; an address
            `hf:owner/name[@revision][/file.safetensors]`; or the path of a file that holds an encoder (torchvision's,
            timm's or smp's names), a whole smp U-Net, or a unetkit model; also a folder with a model.safetensors.
        spec: The model that is to start from them.

    Raises:
        ModelError: They cannot be had or read, or there are none for such a network.
    """
    check_start(weights, spec.arch, spec.encoder)
    if (known := KNOWN_WEIGHTS.get(weights)) is not None:
        return _open_known(known, spec)
    path = find_weights(weights)
    state = read_weights(path)
    if (hub := _hub_file(weights)) is None:
        origin = Origin(short_name(str(path)), sha256=hash_file(path))
    else:
        address = f"https://huggingface.co/{hub.repo}/tree/{hub.commit}"
        origin = Origin(weights, licence=hub.licence, address=address, sha256=hash_file(path))
    return Start(state, find_source(weights), origin)


def check_start(weights: str | None, arch: str, encoder: str) -> None:
    """Raise a ModelError if known weights are not of a network: before anything is fetched or trained.

    Args:
        weights: As for `open_start`; None for random ones.
        arch: Architecture of the network.
        encoder: Its encoder.
    """
    known = KNOWN_WEIGHTS.get(weights or "")
    if known is None:
        return
    if not architecture_info(arch).has_encoder:
        raise ModelError(f"There are no weights '{weights}' of {arch}.", "Leave them out, or use arch: unet.")
    known.file_of(encoder)


def find_weights(weights: str) -> Path:
    """Return the file of weights that have an address, a name of a built-in model or a path. It need not exist.

    Raises:
        ModelError: It cannot be fetched.
    """
    if (hub := _hub_file(weights)) is not None:
        return hub.path
    path = builtin_path(weights) or Path(weights)
    return path / MODEL_FILE if path.is_dir() else path


def find_source(weights: str) -> ModelSpec | None:
    """Return the description of the unetkit model in a file of weights; None for other files and unreadable ones.

    Args:
        weights: As for `open_start`.

    Raises:
        ModelError: A model of a newer unetkit, or one that cannot be fetched.
    """
    if weights in KNOWN_WEIGHTS:
        return None
    path = find_weights(weights)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            described = METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):  # `read_weights` raises the error for it
        return None
    return read_spec(path) if described else None


def trained_on(weights: str) -> tuple[str, ...]:
    """Return the hashes of the images with masks that weights were trained on; none if they are not known.

    Args:
        weights: As for `open_start`.
    """
    source = find_source(weights)
    if source is None or source.task == "reconstruction" or source.training_images is None:
        return ()
    return source.training_images.digests


def _hub_file(weights: str) -> HubFile | None:
    return fetch_weights(weights.removeprefix(HUB)) if weights.startswith(HUB) else None


def _open_known(known: KnownWeights, spec: ModelSpec) -> Start:
    """Fetch known weights: by the library that builds the encoder, or to unetkit's own cache."""
    file = known.file_of(spec.encoder)
    facts = {"trained_on": known.trained_on, "licence": file.licence, "citation": known.citation}
    if file.address.startswith(HUB):
        address = f"https://huggingface.co/{file.address.removeprefix(HUB)}"
        return Start(_library_weights(known, spec), None, Origin(known.name, address=address, **facts))
    kept = fetch_known(known, spec.encoder)
    origin = Origin(known.name, address=file.address, sha256=kept.sha256, **facts)
    return Start(read_weights(kept.path), None, origin)


def _library_weights(known: KnownWeights, spec: ModelSpec) -> dict[str, Tensor]:
    """Return the weights that smp offers for an encoder (downloaded once, then kept by Hugging Face's client)."""
    name = smp_name(spec.encoder)
    wanted = known.name if name in smp.encoders.encoders else True  # timm's names have no choice of weights
    try:
        encoder = smp.encoders.get_encoder(name, in_channels=3, depth=spec.depth, weights=wanted)
    except Exception as error:  # the hub client, requests, urllib and torch.hub each have errors of their own
        repository = known.file_of(spec.encoder).address.removeprefix(HUB)
        raise ModelError(
            f"The ImageNet weights of {spec.encoder} could not be downloaded ({type(error).__name__}).",
            f"Connect to a network once (they are kept), or bring the cache of `hf download {repository}` from another "
            "machine; or give a local file (weights: FILE.safetensors or FILE.pth), or leave `weights` out to start "
            "from random ones.",
        ) from error
    return dict(encoder.state_dict())
