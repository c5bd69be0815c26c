"""A browser on this machine, or the way to one on another."""

from __future__ import annotations

import os
import socket
import sys
import webbrowser
from collections.abc import Callable
from threading import Event

ADDRESS = "127.0.0.1"
"""Where the server listens: on this machine alone."""

POLL_SECONDS = 1.0
"""On Windows, Ctrl-C is heard between two waits only."""


def show_address(url: str, port: int, log: Callable[[str], None], *, browser: bool) -> None:
    """Print the address of a view, and open it in a browser if there is one here.

    Args:
        url: The address.
        port: Port of the server.
        log: Prints a line.
        browser: Whether a browser is opened.
    """
    log(f"Open {url}")
    if "SSH_CONNECTION" in os.environ:
        log("To see it on your own machine, run this there and leave it running, then open the address there:")
        user = os.environ.get("USER") or os.environ.get("LOGNAME")
        log(f"  ssh -L {port}:{ADDRESS}:{port} {user + '@' if user else ''}{socket.gethostname()}")
    elif browser and not (_has_screen() and webbrowser.open(url)):
        log("No browser was found here: open the address in one by hand.")
    log("Ctrl-C ends it.")


def _has_screen() -> bool:
    """Return whether a browser with pictures can open: without a screen, one for the terminal would take it over."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def wait() -> None:
    """Wait for Ctrl-C or another signal, which is raised here."""
    forever = Event()
    while not forever.wait(POLL_SECONDS):
        pass
