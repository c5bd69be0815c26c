"""Faults for the workers of a cluster. The hooks run in the workers; the product knows nothing of them.

A worker that starts with `DASK_DISTRIBUTED__WORKER__PRELOAD` set to this module installs what `SPREAD_HOOKS` says.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

_originals: list[tuple[Any, str, Any]] = []


def install(*hooks: dict[str, str]) -> None:
    """Install hooks in this process.

    Args:
        hooks: Of each `do`, a name in `ACTIONS`; `at`, as in "package.module:Class.method", before which it is done;
            and `file`, which the action uses.
    """
    for hook in hooks:
        module, _, path = hook["at"].partition(":")
        owner: Any = import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        _originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, _hooked(getattr(owner, name), ACTIONS[hook["do"]], Path(hook["file"])))


def remove() -> None:
    """Remove all hooks of this process."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


class Hooks(WorkerPlugin):
    """Hooks in all workers of a cluster, also in those that come later.

    Args:
        hooks: As for `install`.
    """

    def __init__(self, *hooks: dict[str, str]) -> None:
        self.hooks = hooks
        self.name = json.dumps(hooks)

    def setup(self, worker: Any) -> None:
        """Install them, as a worker starts."""
        install(*self.hooks)

    def teardown(self, worker: Any) -> None:
        """Remove all hooks, as they are taken back."""
        remove()


def dask_setup(_: Any) -> None:
    """Install what the environment says, as a worker starts."""
    install(*json.loads(os.environ["SPREAD_HOOKS"]))


def _hooked(call: Callable[..., Any], action: Callable[..., None], file: Path) -> Callable[..., Any]:
    @wraps(call)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        action(file, *args)
        return call(*args, **kwargs)

    return hooked


def halt(file: Path, *_: Any) -> None:
    """Wait to be killed: the first process to come here, whose number is written to the file."""
    if not _is_first(file):
        return
    time.sleep(120)


def halt_in_file(file: Path, opened: Any, *_: Any) -> None:
    """Write a part of a file and wait to be killed."""
    if file.exists():
        return
    opened.write(b"half of it")
    opened.flush()
    halt(file)


def wait(file: Path, *_: Any) -> None:
    """Be slow: a fifth of a second."""
    time.sleep(0.2)


def crawl_one(file: Path, *_: Any) -> None:
    """Be slow: only the first process to come here, from then on."""
    if _is_first(file) or file.read_text() == str(os.getpid()):
        time.sleep(1.5)


def count(file: Path, *_: Any) -> None:
    """Add a line to the file."""
    with file.open("a") as lines:
        lines.write(f"{os.getpid()}\n")


def fill_as_told(file: Path, *_: Any) -> None:
    """Use far more memory than there is, once, if the file is there."""
    try:
        file.unlink()
    except FileNotFoundError:
        return
    held = []
    for _ in range(100):
        held.append(b"\x01" * 20_000_000)
        time.sleep(0.01)
    time.sleep(120)


def full(file: Path, *_: Any) -> None:
    """Find the disk full, as long as the file is there, from the third time on."""
    if not file.exists():
        return
    with file.open("a") as lines:
        lines.write("x")
    if file.stat().st_size > 3:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


ACTIONS = {action.__name__: action for action in (halt, halt_in_file, wait, crawl_one, count, fill_as_told, full)}


def _is_first(file: Path) -> bool:
    try:
        with file.open("x") as first:
            first.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
