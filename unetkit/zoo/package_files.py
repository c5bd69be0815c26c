"""The files of a package of bioimage.io, which is a .zip, a folder or a description beside its files."""

from __future__ import annotations

import shutil
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from unetkit.foundation.atomic import shared_file
from unetkit.foundation.errors import ModelError, OutputError
from unetkit.foundation.names import printable
from unetkit.foundation.user_cache import user_cache
from unetkit.models.model_file import hash_file

DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")
"""Names of the description of a package, or their ends."""

LARGEST_DESCRIPTION = 16 * 2**20
"""Largest description that is read, in bytes."""

LARGEST_FILE = 64 * 2**30
"""Largest file that is unpacked, in bytes."""

LARGEST_RATIO = 200
"""Largest number of bytes that one byte of a .zip may become. Weights hardly shrink."""

SMALL_FILE = 64 * 2**20
"""Size in bytes up to which a file may become any number of times larger."""


@dataclass(frozen=True)
class PackageFiles:
    """The files of a package.

    Attributes:
        path: The package, as it was given.
        folder: Where its files lie, or where those of a .zip are unpacked when they are needed.
        description: Path of the description.
        inside: Where the files of a .zip lie in it; None for a folder.
    """

    path: Path
    folder: Path
    description: Path
    inside: PurePosixPath | None = None

    def file(self, name: str) -> Path:
        """Return the path of a file that the description names, and unpack it where that is needed.

        Raises:
            ModelError: It is missing, damaged or outside the package.
        """
        relative = checked_name(name, self.path)
        path = self.folder / relative
        if self.inside is not None and not path.is_file():
            unpack(self.path, str(self.inside / relative), path)
        if not path.is_file():
            raise _missing(self.path, name)
        return path


def open_package(path: Path) -> PackageFiles:
    """Find the description of a package.

    Args:
        path: A .zip, a folder, or a description in YAML.

    Raises:
        ModelError: There is none, or a .zip is damaged or has files that no package has.
    """
    if path.is_dir():
        found = next((path / name for name in DESCRIPTIONS if (path / name).is_file()), None)
        if found is None:
            raise _no_description(path)
        return PackageFiles(path, path, found)
    if path.suffix != ".zip":
        return PackageFiles(path, path.parent, path)
    member = _description_in(path)
    folder = user_cache() / "bioimageio" / "unpacked" / hash_file(path)[:32]
    description = folder / member.name
    if not description.is_file():
        unpack(path, str(member), description, LARGEST_DESCRIPTION)
    return PackageFiles(path, folder, description, member.parent)


def checked_name(name: str, package: Path) -> PurePosixPath:
    """Return the name of a file of a package as a relative path.

    Raises:
        ModelError: It points out of the package.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    strange = ":" in name or "\0" in name
    if strange or relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise ModelError(
            f"{package} names the file {printable(name)!r}, which is not one of its own.",
            "Do not use this package: packages that programs write have no such names.",
        )
    return relative


def unpack(archive: Path, member: str, target: Path, largest: int = LARGEST_FILE) -> None:
    """Unpack one file of a .zip, which appears whole or not at all.

    Args:
        archive: The .zip.
        member: Name of the file in it.
        target: Where it is put.
        largest: Largest size in bytes.

    Raises:
        ModelError: It is missing, damaged or too large.
        OutputError: It cannot be written.
    """
    try:
        with ZipFile(archive) as opened:
            info = opened.getinfo(member)
            check_size(info, archive, largest)
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(info) as source, shared_file(target) as file:
                shutil.copyfileobj(source, file, 2**20)
    except KeyError as error:
        raise _missing(archive, member) from error
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        raise OutputError(
            f"{target} cannot be unpacked: {error.strerror or error}.", "Check the free space of your home folder."
        ) from error


def _description_in(path: Path) -> PurePosixPath:
    """Return the name of the description in a .zip, after a look at all names."""
    try:
        with ZipFile(path) as opened:
            infos = opened.infolist()
    except (BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
        raise _damaged(path, error) from error
    for info in infos:
        checked_name(info.filename, path)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ModelError(
                f"{path} has a link in the place of the file {printable(info.filename)}.",
                "Do not use this package: packages that programs write have no links.",
            )
        check_size(info, path)
    names = [PurePosixPath(info.filename) for info in infos]
    fitting = [name for name in names if f".{name.name}".endswith(tuple(f".{end}" for end in DESCRIPTIONS))]
    if not fitting:
        raise _no_description(path)
    return min(fitting, key=lambda name: (len(name.parts), name.name not in DESCRIPTIONS, str(name)))


def check_size(info: ZipInfo, archive: Path, largest: int = LARGEST_FILE) -> None:
    """Raise a ModelError for a file in a .zip that would become absurdly large."""
    swells = info.file_size > SMALL_FILE and info.file_size > LARGEST_RATIO * max(info.compress_size, 1)
    if info.file_size > largest or swells:
        raise ModelError(
            f"{printable(info.filename)} in {archive} would be {info.file_size} bytes large.",
            "Do not use this package: it would fill the disk.",
        )


def _no_description(path: Path) -> ModelError:
    return ModelError(
        f"There is no {' or '.join(DESCRIPTIONS)} in {path}, so it is no package of bioimage.io.",
        "Give a package, or unpack it and give the model in it.",
    )


def _missing(path: Path, name: str) -> ModelError:
    return ModelError(f"The file {printable(name)} is missing in {path}.", "Download the package again.")


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is damaged ({error}).", "Download or copy it again.")
