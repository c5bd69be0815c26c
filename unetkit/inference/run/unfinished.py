"""The finished bands of an output, kept beside it until it is whole, and used by a later run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unetkit.foundation.atomic import ClaimedError, claimed, unfinished_file
from unetkit.foundation.errors import ModelError, OutputError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.direction_store import DirectionStore
from unetkit.inference.tiling.options import OutputOptions, TilingOptions
from unetkit.io.writing.block_folder import JOURNAL_FILE, BlockFolder
from unetkit.io.writing.resume_store import BandStore, read_job

Bands = BandStore | list[Any]
"""Bands in a file, or in memory if there is only one."""


def starts_anew(written: OutputOptions) -> bool:
    """Whether the unfinished output of an earlier run is replaced, and not continued."""
    return written.overwrite and not written.resume


def pin_choices(tiling: TilingOptions, ensemble: Ensemble, results: Iterable[Path]) -> TilingOptions:
    """Return the choices, with "auto" replaced by the choices of the run that is continued.

    Args:
        tiling: The user's choices. The device is "auto" where workers choose it.
        ensemble: The models. A run of others is not continued.
        results: The outputs. Unfinished ones may lie beside them.
    """
    models = [segmenter.sha256 for segmenter in ensemble.segmenters]
    open_names = [name for name in ("backend", "precision", "tile", "batch") if getattr(tiling, name) == "auto"]
    for result in results:
        left = read_job(unfinished_file(result)) or BlockFolder.job_of(result) or DirectionStore.job_of(result)
        job = left or {}
        if job.get("model_sha256") == models and tiling.device in (job.get("device"), "auto"):
            return dataclasses.replace(tiling, **{name: job[name] for name in open_names if name in job})
    return tiling


@contextmanager
def kept_bands(
    result: Path, job: dict[str, Any], count: int, written: OutputOptions, log: Callable[[str], None]
) -> Iterator[Bands]:
    """Keep finished bands beside an output until it is whole. An image of one band needs no file.

    The bands of an earlier run of the same job are used. The bands of another job are only deleted with the user's
    `overwrite`.

    Args:
        result: The output.
        job: All on which the content of the bands depends.
        count: Number of bands.
        written: The user's choices.
        log: Called with sentences about what happens.

    Raises:
        OutputError: The bands that are there are of another job, or bands cannot be read or written; or there are
            blocks of a run on a cluster.
    """
    path = unfinished_file(result)
    there = path.exists()
    _check_blocks(result, written, log)
    if count == 1 and not there:
        yield []
        return
    if there and starts_anew(written):
        log(f"{path}, which an earlier run left, is replaced, as --overwrite says.")
    elif there and read_job(path) is None:
        log(f"{path}, which an earlier run left, holds nothing that can be read, and is replaced.")
    store = BandStore.create(path, job) if starts_anew(written) else BandStore.resume(path, job)
    if len(store):
        log(
            f"{path} holds {len(store)} of {count} rows of tiles: going on from there. Parts of them that were "
            "skipped or could not be decoded are not listed again."
        )
    try:
        yield store
    except ModelError:  # predictions of broken models are of no use
        store.remove()
        raise
    except BaseException as error:  # Ctrl-C, too
        if len(store):
            store.close()
            log(f"What is done is kept in {path}: the same command with --resume goes on from there.")
        else:
            store.remove()
            if isinstance(error, KeyboardInterrupt):
                log("Stopped before the first row of tiles was done: nothing is left to go on from.")
        raise
    store.remove()


def sweep(result: Path) -> None:
    """Remove what a run left beside its output that was killed when the output was whole.

    What is newer than the output is of a run that was about to replace it, and stays.

    Args:
        result: The output.
    """
    bands, blocks = unfinished_file(result), BlockFolder.place(result)
    if not bands.exists() and not blocks.exists():
        return
    kept = [path for path in (bands, blocks / JOURNAL_FILE) if path.exists()]
    whole = result.stat().st_mtime_ns
    if any(path.stat().st_mtime_ns > whole for path in kept):
        return
    with suppress(ClaimedError), claimed(result):
        bands.unlink(missing_ok=True)
        BlockFolder(blocks, {}).remove()


def _check_blocks(result: Path, written: OutputOptions, log: Callable[[str], None]) -> None:
    """Raise an OutputError for the finished blocks of a run on a cluster; remove them if the user starts anew."""
    place = BlockFolder.place(result)
    if not place.is_dir():
        return
    if BlockFolder.is_begun(result):
        if not starts_anew(written):
            raise OutputError(
                f"{place} holds what a run on a cluster has finished of {result.name}.",
                "Give --cluster too, to go on with it (local:1 is this machine alone), or --overwrite without --resume "
                "to start anew.",
            )
        log(f"{place}, which a run on a cluster left, is replaced, as --overwrite says.")
    BlockFolder(place, {}).remove()
