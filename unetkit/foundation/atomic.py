"""Files that appear whole or not at all, and never by accident in the place of others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO, TypeVar
from uuid import uuid4

from filelock import FileLock, Timeout

from unetkit.foundation.errors import OutputError
from unetkit.foundation.names import check_local

UNFINISHED_SUFFIX = ".unfinished"
"""Suffix of the file beside an output that keeps the finished part until the whole is finished."""

LONGEST_NAME = 255
"""Largest number of bytes in a file name, on nearly all file systems."""

CLAIM_SECONDS = 60.0
"""Longest time that a task of a cluster waits for an output that is being made.

It may be made by the same task, on a worker that has lost its scheduler and ends soon."""

POLL_SECONDS = 0.2

Item = TypeVar("Item")


class ClaimedError(OutputError):
    """An output that another run is making."""


def beside(path: Path, ending: str) -> Path:
    """Return the name of a file that belongs to another, in the same folder: its name and an ending.

    Where that is longer than file systems allow, the name is cut, and a hash of it keeps it apart from others.
    """
    name = path.name
    if len(os.fsencode(name + ending)) <= LONGEST_NAME:
        return path.with_name(name + ending)
    ending = f"-{sha256(os.fsencode(name)).hexdigest()[:12]}{ending}"
    while len(os.fsencode(name + ending)) > LONGEST_NAME:
        name = name[:-1]
    return path.with_name(name + ending)


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` at the end, or remove it on any error.

    Raises:
        OutputError: For an OSError in the body or in the renaming.
    """
    partial = partial_place(path)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # an impossible name has raised its error above
            partial.unlink(missing_ok=True)


@contextmanager
def shared_file(path: Path, aside: Path | None = None) -> Iterator[BinaryIO]:
    """Give a new file that is renamed to `path` at the end, or removed on any error.

    Its name is its own, so several processes, on several machines too, may write the same file at a time. It appears
    whole, each time.

    Args:
        path: The file.
        aside: The folder in which it is written, on the same disk; None for that of `path`.

    Raises:
        OSError: It cannot be written.
    """
    own = (aside or path.parent) / f"{uuid4().hex}.partial"
    try:
        with own.open("xb") as file:
            yield file
        own.replace(path)
    except BaseException:  # whatever it is, no part must be left
        with suppress(OSError):
            own.unlink(missing_ok=True)
        raise


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` to fill; rename it to `path` at the end, or remove it on any error.

    Raises:
        OutputError: For an OSError in the body or in the renaming.
    """
    try:
        yield begin_folder(path)
        finish_folder(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        drop_folder(path)


def partial_place(path: Path) -> Path:
    """Return where an output is filled before it gets its name."""
    return beside(path, ".partial")


def begin_folder(path: Path) -> Path:
    """Make an empty folder beside `path` to fill, and return it.

    Raises:
        OutputError: It cannot be made.
    """
    partial = partial_place(path)
    try:
        _put_back(beside(path, ".replaced"), path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except OSError as error:
        raise cannot_write(path, error) from error
    return partial


def finish_folder(path: Path) -> None:
    """Give the folder that `begin_folder` made its name.

    A folder that is there already is first moved aside, back if the renaming fails, and removed when the new one is in
    place. If the process is killed between the two, the old one is found and moved back the next time.

    Raises:
        OutputError: It cannot be renamed.
    """
    partial, replaced = partial_place(path), beside(path, ".replaced")
    try:
        if path.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            path.rename(replaced)
        try:
            partial.rename(path)
        except OSError:
            _put_back(replaced, path)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def drop_folder(path: Path) -> None:
    """Remove the folder that `begin_folder` made, if it is there."""
    shutil.rmtree(partial_place(path), ignore_errors=True)


def _put_back(replaced: Path, path: Path) -> None:
    """Move a folder that was moved aside back to its place, if nothing has taken it."""
    if replaced.exists() and not path.exists():
        replaced.rename(path)


def unfinished_file(result: Path) -> Path:
    """Return where the bands of an output are kept until it is whole."""
    return beside(result, UNFINISHED_SUFFIX)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Keep other runs away from an output while it is made: two at once would spoil each other's parts.

    A lock file lies beside `path` meanwhile. One that a killed process left claims nothing.

    Raises:
        ClaimedError: Another run is making this output.
        OutputError: The lock file cannot be written.
    """
    lock = FileLock(beside(path, ".lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ClaimedError(
            f"Another run is making {path}.", "Wait until it has ended, or choose another output."
        ) from None
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        drop_lock(lock)


def drop_lock(lock: FileLock) -> None:
    """Remove a lock file and release it: in this order, so that who waits sees that it is gone.

    Windows removes no file that is open. There it is removed afterwards, unless the next run holds it by then.
    """
    file = Path(lock.lock_file)
    try:
        file.unlink(missing_ok=True)
    except PermissionError:
        lock.release()
        with suppress(OSError):
            file.unlink(missing_ok=True)
    else:
        lock.release()


def when_free(make: Callable[[], Item], seconds: float = CLAIM_SECONDS) -> Item:
    """Return what `make` makes, as soon as no other run is making the same output.

    Raises:
        ClaimedError: It is still being made after that many seconds.
    """
    end = monotonic() + seconds
    while True:
        try:
            return make()
        except ClaimedError:
            if monotonic() > end:
                raise
            sleep(POLL_SECONDS)


@contextmanager
def errors_of(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Give `items` to a body that takes any OSError for an error of its output.

    An error that `items` themselves raise passes unchanged.
    """
    raised: OSError | None = None

    def pull() -> Iterator[Item]:
        nonlocal raised
        try:
            yield from items
        except OSError as error:
            raised = error
            raise

    try:
        yield pull()
    except OutputError:
        if raised is not None:
            raise raised from None
        raise


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that cannot be written, with the reason."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}.",
        "Check the free space and the permissions of its folder, or choose another output.",
    )


def make_folder(folder: Path, what: str = "The folder", remedy: str = "Choose a folder that you may write to.") -> None:
    """Make a folder for outputs, unless it is there.

    Args:
        folder: The folder.
        what: Name of the folder in an error.
        remedy: Remedy in the error.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{what} {folder} cannot be made ({error.strerror}).", remedy) from error


def check_target(path: Path, overwrite: bool) -> None:
    """Check that a file can be written, before the work that goes into it is done.

    Raises:
        OutputError: The file exists and `overwrite` is not set, or its folder is missing or not writable.
    """
    if path.is_dir():
        raise OutputError(f"The output {path} is a folder.", "Give the name of a file.")
    check_place(path, overwrite)


def check_place(path: Path, overwrite: bool, *, make: bool = False) -> None:
    """Check that an output, a file or a folder, can be made where it is to lie.

    Args:
        path: The output.
        overwrite: Whether an existing one may be replaced.
        make: Whether the folder that it lies in will be made if it is missing.

    Raises:
        OutputError: It exists and `overwrite` is not set, or its folder is missing or not writable.
    """
    check_local(path)
    if path.exists() and not overwrite:
        raise OutputError(f"The output {path} exists.", "Pass --overwrite or choose another name.")
    folder = path.parent.parent if make and not path.parent.exists() else path.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist.", "Make it, or choose another output.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"The folder {folder} cannot be written.", "Choose another output.")
