"""Signals end a process at once, with a word, wherever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unetkit.foundation.signals import Stop, is_hurried

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

START = """
import hashlib, os, signal, sys, time
from unetkit.foundation.signals import Signals, Stop
signals = Signals()
signals.listen()
try:
    {work}
except KeyboardInterrupt as error:
    os.write(1, f"stopped by {error.number}\\n".encode())
signals.close()
sys.exit(signals.exit_code())
"""

READY = 'print("ready", flush=True); '


@contextmanager
def started(work: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Do some work in a process of its own; wait until it is ready."""
    code = START.replace("{work}", work)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_signal_that_comes_twice_within_a_moment_is_one(tmp_path: Path) -> None:
    with started(READY + "time.sleep(60)", tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (143, "")
    assert sorted(out.splitlines()) == ["Stopping, as SIGTERM asks. Ctrl-C once more ends at once.", "stopped by 15"]


def test_in_native_code_the_word_comes_at_once_and_a_second_ctrl_c_ends(tmp_path: Path) -> None:
    work = READY + "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    with started(work, tmp_path) as process:
        assert process.stdout is not None
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline().startswith("Stopping, as Ctrl-C asks.")
        time.sleep(0.7)  # longer than what is taken for the same request
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize(("seconds", "said"), [(0.3, "stopped by 15\n"), (30, "")])
def test_an_import_is_not_broken_off_but_ended_or_the_process_is(seconds: float, said: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        f"{READY}\nimport time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: time.sleep(0.01)\n"
    )
    with started("import slow; time.sleep(60)", tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (143, "")
    assert out.replace("Stopping, as SIGTERM asks. Ctrl-C once more ends at once.\n", "") == said
    assert "Stopping" in out


def test_a_stop_that_python_has_to_ignore_is_raised_again(tmp_path: Path) -> None:
    (tmp_path / "final.py").write_text(
        "import os, signal, time\n"
        "class Final:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(1)\n"
    )
    with started(f"import final; {READY} f = final.Final(); del f; time.sleep(60)", tmp_path) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (143, "")
    assert "stopped by 15\n" in out


def test_a_forked_process_leaves_ctrl_c_to_its_parent(tmp_path: Path) -> None:
    (tmp_path / "forked.py").write_text(
        "import os, time\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    time.sleep(1)\n"
        "    os._exit(7)\n"
        "print(child, flush=True)\n"
        "print(os.waitpid(child, 0)[1] >> 8, flush=True)\n"
    )
    with started(f"{READY} exec(open('forked.py').read())", tmp_path) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        time.sleep(0.2)
        os.kill(child, signal.SIGINT)
        assert process.stdout.read() == "7\n"


def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    work = "signal.signal(signal.SIGHUP, signal.SIG_IGN); Signals().listen(); " + READY + "time.sleep(1)"
    with started(work, tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=20)
    assert (out, err) == ("", "")


def test_after_all_but_ctrl_c_one_has_to_hurry() -> None:
    assert is_hurried(Stop(signal.SIGTERM))
    assert not is_hurried(Stop(signal.SIGINT))
    assert not is_hurried(KeyboardInterrupt())
    answer = SystemExit(1)  # Lightning's
    answer.__context__ = Stop(signal.SIGTERM)
    assert is_hurried(answer)
