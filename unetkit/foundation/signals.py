"""Ctrl-C, SIGTERM and SIGHUP: what ends a command from outside, with a message at once and without a traceback.

    signal -> byte in a socket -> watching thread: prints a message; ends the process at a second Ctrl-C
           -> handler in the main thread: raises Stop

Python calls a handler only when the main thread is back from native code, which may take seconds (a batch on the CPU).
The byte is written at once, so the message comes at once.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from time import monotonic, sleep
from types import FrameType

SIGNAL_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}
"""Signals that stop a command, and what they are called on the terminal. Windows has no SIGHUP."""

SAME_REQUEST_SECONDS = 0.5
"""Seconds within which signals count as one request: wrappers such as `timeout` pass each on twice."""

IMPORT_RETRY_SECONDS = 0.05
"""Seconds until the next try, for a signal that comes during an import."""

IMPORT_PATIENCE_SECONDS = 1.0
"""Seconds to wait for the end of an import. After that the process ends at once, as after a kill."""

RETRY_BYTE = 0
"""Byte for "try the last signal again". No signal has this number."""


class Stop(KeyboardInterrupt):
    """A signal that ends the command.

    Args:
        number: The number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def is_hurried(error: BaseException | None) -> bool:
    """Whether what follows from an error has to be quick: after SIGTERM or SIGHUP a process is soon killed.

    Args:
        error: A `Stop`, or an error that was raised while one was handled.
    """
    while error is not None:
        if isinstance(error, Stop):
            return error.number != signal.SIGINT
        error = error.__cause__ or error.__context__
    return False


class Signals:
    """Listens to the signals that end a command, from `listen` to `close`. Signals that were ignored stay ignored.

    Attributes:
        first: Number of the first signal that came; None while there was none.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._numbers: list[int] = []
        self._announced = False
        self._lock = threading.Lock()
        self._heard = -SAME_REQUEST_SECONDS
        self._raised = -SAME_REQUEST_SECONDS
        self._waiting: int | None = None
        self._repeats = 0
        self._receiver, self._sender = socket.socketpair()

    def listen(self) -> None:
        """Begin; only the main thread can."""
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_to_parent)
        sys.unraisablehook = self._raise_again
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        for number in (getattr(signal, name) for name in SIGNAL_NAMES if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup, or in the background
                self._numbers.append(number)
                signal.signal(number, self._handle)

    def close(self) -> None:
        """End: from now on the signals do what they do by default; once one has come, nothing, as the end is near."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL if self.first is None else signal.SIG_IGN)
        if self.first is not None:
            self._announce(self.first)  # where the watching thread has not come to it yet
        self._numbers.clear()
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = sys.__unraisablehook__

    def exit_code(self) -> int:
        """Return the exit code of a command that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (signal.SIGINT if self.first is None else self.first)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Raise `Stop`; during an import only later, since many extension modules make other errors of it."""
        if self.first is None:
            self.first = number
        if _imports(frame):
            self._put_off(number)
            return
        waited, self._waiting = self._waiting is not None, None
        if not waited and monotonic() - self._raised < SAME_REQUEST_SECONDS:
            return
        self._raised = monotonic()
        raise Stop(number)

    def _put_off(self, number: int) -> None:
        self._waiting = number
        with suppress(OSError):
            self._sender.send(bytes([RETRY_BYTE]))

    def _raise_again(self, ignored: sys.UnraisableHookArgs) -> None:
        """Try again where Python had to ignore a `Stop`, for example in a finalizer, which no exception can leave."""
        if isinstance(ignored.exc_value, Stop):
            self._put_off(ignored.exc_value.number)
        else:
            sys.__unraisablehook__(ignored)

    def _watch(self) -> None:
        """Answer the signals as they come."""
        while received := self._receiver.recv(64):
            for number in received:
                if number == RETRY_BYTE:
                    self._try_again()
                elif number in self._numbers and self._repeats:
                    self._repeats -= 1
                elif number in self._numbers:
                    self._hear(number)

    def _try_again(self) -> None:
        sleep(IMPORT_RETRY_SECONDS)
        if (number := self._waiting) is None:
            return
        if monotonic() - self._heard > IMPORT_PATIENCE_SECONDS:
            os._exit(128 + number)
        self._repeats += 1
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, number)  # one that wakes it up, if it sleeps
        else:
            _thread.interrupt_main(signal.Signals(number))

    def _hear(self, number: int) -> None:
        if monotonic() - self._heard < SAME_REQUEST_SECONDS:
            return
        self._heard = monotonic()
        if self._announced and number == signal.SIGINT:
            os._exit(128 + number)
        if self.first is None:
            self.first = number
        self._announce(number)

    def _announce(self, number: int) -> None:
        """Print that the signal has come. Of several processes that train together, only the first prints."""
        with self._lock:
            if self._announced:
                return
            self._announced = True
            name = signal.Signals(number).name
            if name == "SIGHUP":
                _let_go_of_terminal()
            if os.environ.get("LOCAL_RANK", "0") == "0":
                with suppress(OSError, ValueError):
                    sys.stdout.write(f"Stopping, as {SIGNAL_NAMES[name]} asks. Ctrl-C once more ends at once.\n")
                    sys.stdout.flush()

    def _leave_to_parent(self) -> None:
        """In a process that was forked: Ctrl-C goes to it too, but its parent is to end it."""
        signal.set_wakeup_fd(-1)
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _let_go_of_terminal() -> None:
    """Discard all output: the terminal was closed, and writing to it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if os.isatty(descriptor):
            os.dup2(nowhere, descriptor)
