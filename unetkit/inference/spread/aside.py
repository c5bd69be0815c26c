"""Files that a worker writes into a folder of their own, and that the client moves to their places.

A task that is done twice, at the same time too, has another folder each time, and an output that appeared meanwhile is
never replaced by accident.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from unetkit.foundation.atomic import cannot_write, drop_folder, finish_folder, make_folder, partial_file, partial_place
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.run.jobs import Job


@dataclass(frozen=True)
class Aside:
    """A folder for the files of an image.

    Attributes:
        folder: The folder.
        job: The image, and the places of its files.
    """

    folder: Path
    job: Job

    @classmethod
    def make(cls, waiting: Path, job: Job) -> Aside:
        """Make a folder in one that the client has made.

        Raises:
            OutputError: It cannot be made; if nothing waits for it any more, either.
        """
        folder = waiting / uuid4().hex
        try:
            folder.mkdir()
        except OSError as error:
            raise cannot_write(folder, error) from error
        return cls(folder, job)

    @property
    def inside(self) -> Job:
        """The image with its files in the folder."""
        here = self.job.new_files.moved(lambda path: self.folder / path.name)
        return replace(self.job, result=self.folder / self.job.result.name, files=here, new_files=here)

    @property
    def places(self) -> dict[Path, Path]:
        """Where each file that is there goes to, in the order in which they are moved: the output is the last."""
        every = [*self.job.new_files, self.job.result]
        return {self.folder / path.name: path for path in every if (self.folder / path.name).exists()}

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let errors name the places of files.

        Raises:
            UnetkitError: The body has raised it.
        """
        try:
            yield
        except UnetkitError as error:
            raise renamed(error, self._names) from None

    def named_in(self, sentence: str) -> str:
        """Return a sentence with the places of files."""
        return with_names(sentence, self._names)

    @property
    def _names(self) -> dict[Path, Path]:
        every = [*self.job.new_files, self.job.result]
        return {**{self.folder / path.name: path for path in every}, self.folder: self.job.result.parent}


def with_names(sentence: str, names: Mapping[Path, Path]) -> str:
    """Return a sentence in which paths have other names."""
    for path, name in names.items():
        sentence = sentence.replace(str(path), str(name))
    return sentence


def renamed(error: UnetkitError, names: Mapping[Path, Path]) -> UnetkitError:
    """Return an error in which paths have other names."""
    error.problem, error.remedy = with_names(error.problem, names), with_names(error.remedy, names)
    error.args = (f"{error.problem} {error.remedy}",)
    return error


def move_all(places: Mapping[Path, Path]) -> None:
    """Move finished files to their places.

    Raises:
        OutputError: One cannot be moved.
    """
    for written, place in places.items():
        _move(written, place)


def _move(written: Path, place: Path) -> None:
    """Move a finished file or folder, a file to another file system too."""
    make_folder(place.parent)
    if written.is_dir():
        drop_folder(place)
        try:
            written.rename(partial_place(place))
        except OSError as error:
            raise cannot_write(place, error) from error
        finish_folder(place)
        return
    with suppress(OSError):
        written.replace(place)
        return
    with partial_file(place) as partial:
        shutil.copyfile(written, partial)
