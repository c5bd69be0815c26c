"""Models and weights of Hugging Face, by its own client and cache: safetensors and descriptions only, so no code is.

The cache is that of all programs of the user which use this client. So what was fetched once, by any of them, is there
without a network, and `hf download owner/name` fills it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unetkit.fetching.registry import HUB, KNOWN_WEIGHTS
from unetkit.foundation.errors import ModelError
from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.foundation.user_cache import user_cache

ENDPOINT: str | None = None
"""Address of the server; None for the one that the client knows."""

ASKING_S = 10.0
"""Seconds after which a server that does not answer is given up, and the cache asked."""

SUFFIX = ".safetensors"
MODEL_FILE = "model.safetensors"
"""File that is taken where none is named."""

CONFIG_FILES = ("config.json", "model.yaml")
"""What is fetched beside a model."""

SMP_KEY = "_model_class"
"""Key in config.json by which a folder that smp's `save_pretrained` wrote is known."""

REFERENCE = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>refs/\w+/[\w.-]+|[\w.+-]+))?(/(?P<file>[^@]+\.safetensors))?"
)
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """What an address names: `owner/name[@revision][/file.safetensors]`.

    Attributes:
        repo: Owner and name of the repository.
        revision: Branch, tag or commit.
        file: File in it; None for the usual one.
    """

    repo: str
    revision: str = "main"
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read an address, without its beginning `hf:`.

        Raises:
            ModelError: It is none.
        """
        text = text.replace("\\", "/")  # a path of Windows, if it was taken for one
        found = REFERENCE.fullmatch(text)
        if found is None:
            raise ModelError(
                f"{HUB}{text} is no address of Hugging Face.",
                f"Write {HUB}owner/name, {HUB}owner/name@revision or {HUB}owner/name/file.safetensors.",
            )
        return cls(found["repo"], found["revision"] or "main", found["file"])

    def __str__(self) -> str:
        """Return the address of the repository."""
        return f"{HUB}{self.repo}" if self.revision == "main" else f"{HUB}{self.repo}@{self.revision}"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository in the cache.

    Attributes:
        path: The file.
        repo: Owner and name of the repository.
        commit: Commit that it is of.
        licence: Licence that the repository states; "" if it is not known.
    """

    path: Path
    repo: str
    commit: str
    licence: str


def fetch_model(reference: str) -> Path:
    """Return a model of Hugging Face: now, or from the cache.

    Args:
        reference: `owner/name[@revision][/file.safetensors]`.

    Returns:
        The file, or the folder that smp's `save_pretrained` wrote.

    Raises:
        ModelError: There is no such repository, it holds no such model, or it cannot be fetched.
    """
    wanted = Reference.parse(reference)
    model = _fetch(wanted)
    if wanted.file is not None:
        return model.path
    folder = model.path.parent
    with suppress(OSError, ValueError):
        if SMP_KEY in json.loads((folder / CONFIG_FILES[0]).read_text(encoding="utf-8")):
            return folder
    return model.path


@cache
def fetch_weights(reference: str) -> HubFile:
    """Return a file of weights of Hugging Face: now, or from the cache.

    Within a process an address stands for one file, however often it is asked for and whatever is changed there.

    Args:
        reference: `owner/name[@revision][/file.safetensors]`.

    Raises:
        ModelError: See `fetch_model`.
    """
    return _fetch(Reference.parse(reference))


def hub_cache() -> Path:
    """Return the folder of the client's cache; it need not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached_repositories() -> Iterator[tuple[str, Path]]:
    """Yield name and folder of the repositories in the cache that unetkit has fetched from."""
    noted = {path.stem.replace("--", "/", 1) for path in _notes_folder().glob("*.json")}
    known = {file.address for weights in KNOWN_WEIGHTS.values() for file in weights.files.values()}
    names = noted | {address.removeprefix(HUB) for address in known if address.startswith(HUB)}
    for name in sorted(names):
        if (folder := _folder_of(name)).is_dir():
            yield name, folder


def _fetch(wanted: Reference) -> HubFile:
    """Return a file of weights, without asking the server if a commit is named whose file is there."""
    pinned = COMMIT.fullmatch(wanted.revision) is not None
    if pinned and (path := _cached(wanted, wanted.file or MODEL_FILE)) is not None:
        return _found(path, wanted)
    try:
        info = _client().model_info(wanted.repo, revision=wanted.revision, timeout=ASKING_S)
    except Exception as error:  # the client's errors are those of the library beneath it, which changes
        _refuse(error, wanted)
        if (path := _cached(wanted, wanted.file or MODEL_FILE)) is not None:
            return _found(path, wanted)
        raise _no_network(wanted, error) from error
    names = [entry.rfilename for entry in info.siblings or ()]
    name = _choose(names, wanted)
    try:
        for beside in CONFIG_FILES:  # first: where a model is, they are too
            if beside in names:
                _client().hf_hub_download(wanted.repo, beside, revision=info.sha)
        path = Path(_client().hf_hub_download(wanted.repo, name, revision=wanted.revision))
    except Exception as error:  # as above
        _refuse(error, wanted)
        raise _no_network(wanted, error) from error
    licence = getattr(info.card_data, "license", None) or ""
    write_cache(_note_of(wanted.repo), {"licence": str(licence)})
    found = _found(path, wanted)
    if found.commit != info.sha:
        raise ModelError(f"The repository {wanted} has changed while it was read.", "Try again.")
    return found


def _client() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=ENDPOINT, library_name="unetkit")


def _cached(wanted: Reference, name: str) -> Path | None:
    """Return a file from the cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(wanted.repo, name, revision=wanted.revision)
    if isinstance(found, str):
        return Path(found)
    if wanted.file is not None:
        return None
    commit = wanted.revision
    with suppress(OSError):
        commit = (_folder_of(wanted.repo) / "refs" / wanted.revision).read_text(encoding="utf-8").strip()
    others = sorted((_folder_of(wanted.repo) / "snapshots" / commit).glob(f"**/*{SUFFIX}"))
    return others[0] if len(others) == 1 else None


def _choose(names: Sequence[str], wanted: Reference) -> str:
    """Return which file of a repository is meant.

    Raises:
        ModelError: It has none, or several of which none is named.
    """
    weights = [name for name in names if name.endswith(SUFFIX)]
    name = wanted.file or MODEL_FILE
    if name in weights:
        return name
    if not weights:
        others = [name for name in names if name.endswith((".bin", ".pth", ".pt", ".ckpt", ".tar", ".pkl", ".onnx"))]
        has = f"It has {', '.join(others[:3])}, which is not fetched. " if others else ""
        raise ModelError(
            f"The repository {wanted} has no {SUFFIX} file.",
            f"{has}Ask its owner for one, or write one with safetensors.torch.save_file and give its path.",
        )
    if wanted.file is None and len(weights) == 1:
        return weights[0]
    listed = ", ".join(weights[:8]) + (", ..." if len(weights) > 8 else "")
    problem = f"has no {name}" if wanted.file else f"has {len(weights)} {SUFFIX} files, and none is called {name}"
    raise ModelError(f"The repository {wanted} {problem}.", f"Name one: {wanted}/FILE, with FILE one of {listed}.")


def _found(path: Path, wanted: Reference) -> HubFile:
    """Describe a file in the cache by its place: .../snapshots/COMMIT/FILE."""
    commit = path.relative_to(_folder_of(wanted.repo) / "snapshots").parts[0]
    noted = read_cache(_note_of(wanted.repo))
    licence = noted.get("licence", "") if isinstance(noted, dict) else ""
    return HubFile(path, wanted.repo, commit, str(licence))


def _refuse(error: Exception, wanted: Reference) -> None:
    """Raise a ModelError if a server has answered that it does not have what is wanted, or not for this user."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    login = "log in with `hf auth login`, or set HF_TOKEN to a token that may read it"
    if isinstance(error, GatedRepoError):
        problem, remedy = f"The repository {wanted} asks who you are.", f"Ask for access on its page, then {login}."
    elif isinstance(error, RepositoryNotFoundError):
        problem, remedy = (
            f"There is no repository {wanted}, or it is private.",
            f"Check the name; if it is private, {login}.",
        )
    elif isinstance(error, RevisionNotFoundError):
        problem = f"The repository {HUB}{wanted.repo} has no revision {wanted.revision}."
        remedy = "Name a branch, a tag or a whole commit, or leave it out."
    elif isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        problem, remedy = f"The repository {wanted} has changed while it was read.", "Try again."
    else:
        return
    raise ModelError(problem, remedy) from error


def _no_network(wanted: Reference, error: Exception) -> ModelError:
    """Return the error for what is neither in the cache nor to be reached."""
    folder = _folder_of(wanted.repo)
    revision = "" if wanted.revision == "main" else f" --revision {wanted.revision}"
    return ModelError(
        f"{wanted} could not be fetched ({type(error).__name__}), and is not in the cache {folder.parent}.",
        f"Connect to a network once. Or run `hf download {wanted.repo}{revision}` on a machine that has one, and copy "
        f"the folder {folder.name} from its cache to {folder.parent}.",
    )


def _folder_of(repo: str) -> Path:
    return hub_cache() / f"models--{repo.replace('/', '--')}"


def _notes_folder() -> Path:
    return user_cache() / "hugging_face"


def _note_of(repo: str) -> Path:
    return _notes_folder() / f"{repo.replace('/', '--')}.json"
