"""Calls that the workers of a crew make in tests."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from unetkit.foundation.errors import ImageError


def double(value: int) -> int:
    return 2 * value


def refuse(name: str) -> None:
    raise ImageError(f"{name} is no image.", "Give another.")


def fail(what: str) -> None:
    raise ZeroDivisionError(what)


def give_a_lock(_: int) -> object:
    import threading

    return threading.Lock()


def process_id(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def loaded(module: str) -> bool:
    return module in sys.modules


def write_line(path: Path, value: int) -> int:
    with path.open("a") as file:
        file.write(f"{value}\n")
    return value


def die_once(note: Path) -> int:
    """Kill the process that runs this, unless another has died here before."""
    if not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill_memory_once(note: Path) -> int:
    """Use memory until the nanny ends this process, unless that has happened before."""
    if not note.exists():
        note.touch()
        blocks = []
        while len(blocks) < 1000:
            blocks.append(b"1" * 2**20)
            time.sleep(0.002)
        time.sleep(60)
    return os.getpid()


def wait_the_first_time(note: Path, seconds: float) -> int:
    """Take long in the process that comes first."""
    try:
        note.touch(exist_ok=False)
    except FileExistsError:
        return os.getpid()
    time.sleep(seconds)
    return os.getpid()


def environment(name: str) -> str | None:
    return os.environ.get(name)
