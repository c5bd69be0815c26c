"""An image while its output is made: claimed by the client, so that no other run makes the same meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from unetkit.foundation.atomic import claimed
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.object_files import check_object_files
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.unfinished import starts_anew
from unetkit.inference.spread.aside import renamed, with_names
from unetkit.inference.spread.leftovers import are_left, remove_left
from unetkit.inference.tiling.options import OutputOptions
from unetkit.io.files import check_output
from unetkit.io.ome_zarr.labels import label_folder
from unetkit.io.writing.block_folder import BlockFolder


class Target:
    """An image whose output is made.

    Args:
        job: The image as the user named it.
        write: The user's choices.
        log: Called with sentences for people.

    Attributes:
        job: The image as the user named it.
        sent: The same with absolute paths, for workers that run in other folders.
        is_begun: Whether there is something to go on from.

    Raises:
        OutputError: An output is there already, or cannot be written.
        ClaimedError: Another run is making it.
    """

    def __init__(self, job: Job, write: OutputOptions, log: Callable[[str], None]) -> None:
        self.job = job
        self.sent = job.absolute
        self._write = write
        with ExitStack() as stack:
            stack.enter_context(label_folder(job.result))
            stack.enter_context(claimed(job.result))
            self.check_free()
            if starts_anew(write):
                remove_left(job, log)
            self.is_begun = job.is_kept or are_left(job)
            BlockFolder.make_place(job.result)
            self._stack = stack.pop_all()

    def check_free(self) -> None:
        """Check that the output and the files of its objects can be put in their places.

        Raises:
            OutputError: One is there already, or its folder cannot be written.
        """
        overwrite = self._write.overwrite
        if not self.job.is_kept:
            check_output(self.job.result, overwrite=overwrite)
        check_object_files(self.job.new_files, overwrite=overwrite)

    def named(self, sentence: str) -> str:
        """Return a sentence of a worker with the names that the user gave."""
        return with_names(sentence, _names(self.job))

    def outcome_named(self, outcome: SegmentOutcome) -> SegmentOutcome:
        """Return an outcome with the names that the user gave."""
        job, picture = self.job, outcome.picture
        if picture is not None:
            picture = Path(self.named(str(picture)))
        remarks = tuple(map(self.named, outcome.remarks))
        files = (*job.new_files,)
        return replace(outcome, image=job.image, result=job.result, files=files, picture=picture, remarks=remarks)

    def release(self, error: BaseException | None = None) -> None:
        """Leave the output to others, and nothing beside it but what a later run goes on from.

        Args:
            error: Why there is no output.
        """
        if not BlockFolder.is_begun(self.job.result):
            BlockFolder(BlockFolder.place(self.job.result), {}).remove()
        self._stack.__exit__(type(error) if error else None, error, None)  # an error removes an empty folder `labels`


def as_named(error: UnetkitError, job: Job) -> UnetkitError:
    """Return an error of a worker with the names that the user gave."""
    return renamed(error, _names(job))


def _names(job: Job) -> Mapping[Path, Path]:
    sent = job.absolute
    pairs = ((sent.image, job.image), (sent.result, job.result))
    return dict(pair for pair in pairs if pair[0] != pair[1])
