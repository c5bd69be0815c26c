"""Calls for processes of their own: they import nothing heavy."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import sleep

from unetkit.foundation.errors import ConfigError


def shout(text: str) -> tuple[str, int]:
    """Print, and return the text in capitals and the process."""
    sys.stdout.write(f"begun\n{text}\n")
    return text.upper(), os.getpid()


def ask_for_more() -> None:
    """Raise an error of bad input."""
    raise ConfigError("There is too little.", "Give more.")


def divide(one: int, other: int) -> float:
    """Divide."""
    return one / other


def die_at_first(note: Path, times: int) -> str:
    """Kill this process so many times, and count them in a file."""
    died = len(note.read_text()) if note.is_file() else 0
    if died < times:
        note.write_text("x" * (died + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def tell_process_and_wait(note: Path) -> None:
    """Write down which process this is, and wait to be ended."""
    partial = note.with_suffix(".partial")
    partial.write_text(str(os.getpid()))
    partial.rename(note)
    sleep(600)
