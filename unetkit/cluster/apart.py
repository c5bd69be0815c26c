"""A task in a process of its own: for work that wants a main thread, and that must not take its worker along.

The process ends with its worker, and soon after nobody wants its task any more: it ends when its standard input does.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unetkit.foundation.errors import ClusterError, UnetkitError

POLL_SECONDS = 1.0
"""Time after which it is looked whether a task is still wanted."""

MOST_LOSSES = 3
"""Times that a process may be killed before its task fails."""

ENDED = 3
"""Exit code of a process whose worker is gone."""


@dataclass(frozen=True)
class _Made:
    """What a process left: the result, an error of bad input, or the traceback of another error."""

    value: Any = None
    error: UnetkitError | None = None
    fault: str = ""


def run_apart(name: str, call: Callable[..., Any], arguments: tuple[Any, ...], say: Callable[[str], None]) -> Any:
    """Make a call in a process of its own, from a task; what it prints is said line by line.

    A process that is killed is started again, so the call goes on from what it has kept.

    Args:
        name: Name of the task for people.
        call: A function at the top of a module.
        arguments: Its arguments.
        say: Called with each line.

    Returns:
        What the call returned.

    Raises:
        UnetkitError: The call raised it.
        ClusterError: The call raised another error, or its process was killed again and again.
    """
    order = pickle.dumps((call, arguments))
    wanted = _watch()
    for _ in range(MOST_LOSSES):
        with tempfile.TemporaryDirectory(prefix="unetkit-") as folder:
            code = _run_process(order, Path(folder) / "made", say, wanted)
            if code == 0:
                return _unpack(name, pickle.loads((Path(folder) / "made").read_bytes()), say)
        say(f"The process of {name} has ended with the code {code}.")
        if code > 0 or not wanted():
            break
    raise ClusterError(
        f"The process of {name} was killed or has crashed (code {code}).",
        "It may need more memory than its worker has; see the log of the worker.",
    )


def _run_process(order: bytes, made: Path, say: Callable[[str], None], wanted: Callable[[], bool]) -> int:
    """Run a process to its end and return its exit code, which is negative where a signal has ended it."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from unetkit.cluster.apart import serve; serve()", str(made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # and as many threads as the worker
        start_new_session=True,  # Ctrl-C at the terminal is answered by the client
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with _ended_when_unwanted(process, wanted):
            process.stdin.write(len(order).to_bytes(8, "little") + order)
            process.stdin.flush()
            for line in process.stdout:
                say(line.decode("utf-8", "replace").rstrip("\n"))
            return process.wait()
    except BrokenPipeError:  # it has ended before it had read its order
        return process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def _ended_when_unwanted(process: subprocess.Popen[bytes], wanted: Callable[[], bool]) -> Iterator[None]:
    """Kill a process as soon as its task is not wanted any more, while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if not wanted():
                process.kill()
                return

    watcher = threading.Thread(target=watch, name="unetkit-wanted", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch() -> Callable[[], bool]:
    """Return a function that says whether the task of this thread is still wanted; always, outside of a task."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return lambda: True
    key = worker.get_current_task()

    def wanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is not None and state.state != "cancelled"

    return wanted


def _unpack(name: str, made: _Made, say: Callable[[str], None]) -> Any:
    """Return the result of a call, or raise its error."""
    if made.error is not None:
        raise made.error
    if made.fault:
        for line in made.fault.splitlines():
            say(line)
        raise ClusterError(
            f"{name[0].upper()}{name[1:]} has failed: {made.fault.splitlines()[-1].rstrip('.')}.",
            "See its last lines above; if it looks like a fault of unetkit, report it.",
        )
    return made.value


def serve() -> None:
    """Make the call that comes by standard input, and write what came of it to the file that is named."""
    orders = sys.stdin.buffer
    order = orders.read(int.from_bytes(orders.read(8), "little"))
    threading.Thread(target=_end_with, args=(orders.fileno(),), name="unetkit-worker", daemon=True).start()
    try:
        call, arguments = pickle.loads(order)
        result = _Made(call(*arguments))
    except UnetkitError as error:
        result = _Made(error=error)
    except Exception:  # whatever it is, it is shown where the run was started
        result = _Made(fault=traceback.format_exc())
    Path(sys.argv[1]).write_bytes(pickle.dumps(result))


def _end_with(orders: int) -> None:
    """End this process when its worker is gone, which closes the other end of a pipe."""
    while os.read(orders, 1):  # the file object would be locked when Python ends
        pass
    os._exit(ENDED)
