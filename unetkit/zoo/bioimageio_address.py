"""`bioimageio:NICKNAME`: a package of the collection bioimage.io, fetched once and kept."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from tempfile import mkdtemp

from unetkit.foundation.errors import ModelError
from unetkit.foundation.user_cache import user_cache
from unetkit.zoo.package_description import need_library, quiet, read_description
from unetkit.zoo.package_files import DESCRIPTIONS

NICKNAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[0-9][a-z0-9.]*)?")
"""What names a package: a nickname such as "affable-shark", perhaps with a version."""

NEWEST = "newest"
"""Folder of a package for which no version was asked."""


def fetch_package(nickname: str) -> Path:
    """Return the folder of a package of bioimage.io: kept from before, or fetched now by bioimageio.spec.

    Only the weights that unetkit runs are fetched, and nothing of a package that it cannot run. A nickname without a
    version is that version from then on; to have a newer one, name it or delete the folder.

    Args:
        nickname: "affable-shark" or "affable-shark/1.1".

    Raises:
        ModelError: There is no network or no such package, or unetkit cannot run it.
    """
    if not NICKNAME.fullmatch(nickname):
        raise ModelError(
            f"'{nickname}' is no nickname of bioimage.io.",
            "Give one such as bioimageio:affable-shark, or bioimageio:affable-shark/1.1.",
        )
    name, _, version = nickname.partition("/")
    place = kept_folder() / name / (version or NEWEST)
    if not any((place / file).is_file() for file in DESCRIPTIONS):
        need_library()
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            _download(nickname, partial)
            shutil.rmtree(place, ignore_errors=True)
            partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return place


def kept_folder() -> Path:
    """Return the folder of packages that were fetched."""
    return user_cache() / "bioimageio" / "fetched"


def _download(nickname: str, folder: Path) -> None:
    """Fetch a package to a folder."""
    from bioimageio.spec import save_bioimageio_package_as_folder

    from unetkit.zoo.package_weights import choose_weights

    name = f"bioimageio:{nickname}"
    description = read_description(nickname, name)
    kind = choose_weights(description.weights, name)
    try:
        with quiet():
            save_bioimageio_package_as_folder(
                description,
                output_path=folder,
                weights_priority_order=["pytorch_state_dict" if kind == "smp" else kind],
            )
    except Exception as error:  # of its HTTP library and of its own checks, which share no class
        reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]
        raise ModelError(
            f"The files of {name} could not be fetched ({reason or type(error).__name__}).",
            "Check the network and try again; or download its .zip elsewhere, and give that file.",
        ) from error
