"""What the tasks of a crew need of a worker: the same versions, the same files, folders that both can write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from unetkit.foundation.atomic import cannot_write

PATIENCE_SECONDS = 3.0
"""Time in which a file that one machine has written shows on another, over a network file system."""

POLL_SECONDS = 0.05
"""Time between two looks for such a file."""


@dataclass(frozen=True)
class Needs:
    """Paths that all workers have to see as the client does.

    Attributes:
        reads: Files or folders, and the number of bytes of each file; None for a folder.
        folders: Folders of outputs.
    """

    reads: tuple[tuple[Path, int | None], ...] = ()
    folders: tuple[Path, ...] = ()


def needs_of(reads: Iterable[Path], writes: Iterable[Path]) -> Needs:
    """Return what is needed where some paths are read and others written, as this process sees them.

    Args:
        reads: Files or folders that are there.
        writes: Outputs, which need not be there; their folders are.
    """
    inputs = dict.fromkeys(path.absolute() for path in reads)
    folders = dict.fromkeys(path.absolute().parent for path in writes)
    return Needs(tuple((path, _size(path)) for path in inputs), tuple(folders))


class Beacons:
    """A file in each folder of outputs, which the client writes, and which workers have to see and to answer.

    Used with `with`; at the end, neither the files nor answers are left.

    Args:
        needs: Has the folders.

    Raises:
        OutputError: The client itself cannot write to a folder.
    """

    def __init__(self, needs: Needs) -> None:
        name = f".unetkit-{uuid4().hex}"
        self.paths = [folder / name for folder in needs.folders]

    def __enter__(self) -> list[Path]:
        for path in self.paths:
            try:
                path.touch()
            except OSError as error:
                self.__exit__()
                raise cannot_write(path.parent, error) from error
        return self.paths

    def __exit__(self, *_: object) -> None:
        for path in self.paths:
            for file in [*path.parent.glob(f"{path.name}*")]:
                with suppress(OSError):
                    file.unlink()


def problem_here(needs: Needs, beacons: list[Path], answer: str) -> str | None:
    """Return what is wrong with the paths on this machine, which is a worker's; None where all is right.

    Args:
        needs: The paths, as the client sees them.
        beacons: Files that the client has written.
        answer: Ending of the files that are written beside them as an answer.
    """
    for path, size in needs.reads:
        try:
            if _size(path) != size:
                return f"sees another file under {path}"
            if not os.access(path, os.R_OK):
                return f"may not read {path}"
        except OSError as error:
            return f"cannot read {path} ({error.strerror})"
    for beacon in beacons:
        if not _appears(beacon):
            return f"does not see what this machine writes in {beacon.parent}"
        try:
            answer_to(beacon, answer).touch()
        except OSError as error:
            return f"cannot write in {beacon.parent} ({error.strerror})"
    return None


def unseen(beacons: list[Path], answer: str) -> str | None:
    """Return what is wrong with a worker that says it has answered, as seen by the client."""
    for beacon in beacons:
        if not _appears(answer_to(beacon, answer)):
            return f"writes in {beacon.parent} what this machine does not see"
    return None


def answer_to(beacon: Path, answer: str) -> Path:
    """Return the file that answers a beacon."""
    return beacon.with_name(f"{beacon.name}-{answer}")


def _size(path: Path) -> int | None:
    return None if path.is_dir() else path.stat().st_size


def _appears(path: Path) -> bool:
    """Whether a file is there, or soon will be."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True
