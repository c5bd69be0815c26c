"""Known weights in unetkit's cache: fetched once, checked each time, and there without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from unetkit.fetching.download import download
from unetkit.fetching.registry import KnownWeights, WeightsFile
from unetkit.foundation.console import log
from unetkit.foundation.errors import OutputError, explain
from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.foundation.user_cache import user_cache

NOTE_SUFFIX = ".json"
"""Suffix of the note beside a file: its address and its hash."""


@dataclass(frozen=True)
class KeptWeights:
    """A file of weights in the cache.

    Attributes:
        path: The file.
        sha256: Its hash, in hexadecimal.
    """

    path: Path
    sha256: str


def weights_folder() -> Path:
    """Return the folder of known weights in the user's cache; it need not exist."""
    return user_cache() / "weights"


def place_of(known: KnownWeights, file: WeightsFile) -> Path:
    """Return where a file of known weights is kept."""
    return weights_folder() / known.name / file.address.rpartition("/")[2]


def fetch_known(known: KnownWeights, encoder: str) -> KeptWeights:
    """Return the file of known weights for an encoder: from the cache, or fetched now.

    Raises:
        ModelError: There are none for the encoder, or they cannot be had.
        OutputError: The cache cannot be written.
    """
    file = known.file_of(encoder)
    place = place_of(known, file)
    remedy = (
        f"Connect to a network once: they are kept then. Or fetch {file.address} with another machine and put it at "
        f"{place}. Or leave `weights` out to start from random ones."
    )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f"{place.name}.lock")):  # other processes of this run want it too
            if (kept := _find(place, file)) is not None:
                return kept
            log(f"Fetching {file.address} ({known.trained_on}; licence {file.licence}) to {place}")
            kept = KeptWeights(place, download(file.address, place, remedy, file.sha256))
            _note(kept, file)
            return kept
    except OSError as error:
        raise OutputError(*explain(error)) from error


def kept_weights() -> Iterator[Path]:
    """Yield the files of known weights in the cache."""
    for path in sorted(weights_folder().glob("*/*")):
        if path.is_file() and path.suffix not in (NOTE_SUFFIX, ".lock", ".partial"):
            yield path


def _find(place: Path, file: WeightsFile) -> KeptWeights | None:
    """Return the file in the cache, if it is there and is what it was when it was fetched."""
    if not place.is_file():
        return None
    with place.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    noted = read_cache(place.with_name(place.name + NOTE_SUFFIX))
    wanted = file.sha256 or (noted.get("sha256") if isinstance(noted, dict) else None)
    if wanted is not None and wanted != digest:
        log(f"{place} is damaged, or was changed: its hash is not the one that was noted. It is fetched again.")
        return None
    kept = KeptWeights(place, digest)
    if noted is None:  # somebody has put it there
        _note(kept, file)
    return kept


def _note(kept: KeptWeights, file: WeightsFile) -> None:
    """Write down what the file was when it came."""
    content = {"address": file.address, "licence": file.licence, "sha256": kept.sha256}
    write_cache(kept.path.with_name(kept.path.name + NOTE_SUFFIX), content)
