"""A call in a process of its own: its result, its error, its death; and its end with its worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest
from apart_calls import ask_for_more, die_at_first, divide, shout, tell_process_and_wait
from two_workers import two_workers

from unetkit.cluster.apart import run_apart
from unetkit.foundation.errors import ClusterError, ConfigError

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(autouse=True, scope="module")
def calls_are_found() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
        yield


def test_a_result_and_what_was_printed_come_back() -> None:
    lines: list[str] = []
    result, process = run_apart("a call", shout, ("Zürich",), lines.append)
    assert result == "ZÜRICH"
    assert process != os.getpid()
    assert lines == ["begun", "Zürich"]


def test_an_error_of_bad_input_comes_back_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        run_apart("a call", ask_for_more, (), print)
    assert (caught.value.problem, caught.value.remedy) == ("There is too little.", "Give more.")


def test_another_error_names_the_call_and_its_lines_are_said() -> None:
    lines: list[str] = []
    with pytest.raises(ClusterError, match="A call has failed: ZeroDivisionError: division by zero"):
        run_apart("a call", divide, (1, 0), lines.append)
    assert "Traceback" in lines[0]


def test_a_process_that_is_killed_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    lines: list[str] = []
    assert run_apart("a call", die_at_first, (tmp_path / "died", 1), lines.append) == "alive"
    assert lines == ["The process of a call has ended with the code -9."]
    with pytest.raises(ClusterError, match=r"killed or has crashed \(code -9\)"):
        run_apart("a call", die_at_first, (tmp_path / "dies", 9), lines.append)


@pytest.mark.parametrize("how", ["the worker is killed", "nobody wants the task"])
def test_a_process_ends_when(how: str, tmp_path: Path) -> None:
    with two_workers() as client:
        future: Any = client.submit(partial(run_apart, "a call", tell_process_and_wait), (tmp_path / "pid",), print)
        process = psutil.Process(int(written(tmp_path / "pid")))
        if how == "nobody wants the task":
            future.cancel()
        else:
            os.kill(process.ppid(), signal.SIGKILL)
        process.wait(timeout=30)


def written(path: Path) -> str:
    """Wait for a file, and return what is in it."""
    end = monotonic() + 60
    while not path.is_file() and monotonic() < end:
        sleep(0.02)
    return path.read_text()
