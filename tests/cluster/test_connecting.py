from __future__ import annotations

import json
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from crew_calls import double, environment
from distributed import Client, LocalCluster

from unetkit.cluster import connecting, started
from unetkit.cluster.connecting import connect
from unetkit.errors import ClusterError
from unetkit.foundation.console import log_nothing


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster with a worker in this process, which is started at once."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster


def refused(text: str, words: str, wait: float | None = None) -> ClusterError:
    with pytest.raises(ClusterError, match=words) as raised, connect(text, wait=wait, log=log_nothing):
        pass
    return raised.value


@pytest.mark.parametrize("text", ["", "local", "local:", "local:0", "local:-1", "local:two", "tcp://host", "host:8786"])
def test_a_text_without_meaning_is_an_error_that_shows_those_that_have(text: str) -> None:
    error = refused(text, f"'{text}' is no cluster")
    for form in ("local:4", "local:gpus", "tcp://host:8786", "jobs.yaml"):
        assert form in error.remedy


def test_without_dask_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "find_spec", lambda name: None)
    assert "pip install 'unetkit[distributed]'" in refused("local:2", "needs the package distributed").remedy


def test_a_file_of_jobs_without_dask_jobqueue_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "find_spec", lambda name: None if name == "dask_jobqueue" else name)
    assert "pip install 'unetkit[distributed]'" in refused("jobs.yaml", "needs the package dask-jobqueue").remedy


def test_no_scheduler_is_an_error_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    assert "dask scheduler" in refused(address, f"No scheduler answers at {address}").remedy


def test_tls_without_certificates_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.3)
    refused("tls://127.0.0.1:8786", "No scheduler answers at tls://127.0.0.1:8786")


def test_no_worker_is_an_error_after_the_time_that_is_given(cluster: LocalCluster) -> None:
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None) as empty:
        error = refused(empty.scheduler_address, r"0 of 1 worker came within 0\.2 s", wait=0.2)
    assert "dask worker" in error.remedy


def test_a_scheduler_file_leads_to_its_scheduler(cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    refused(str(file), "cannot be read")
    file.write_text("[]")
    refused(str(file), "is no scheduler file")
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    with connect(str(file), log=log_nothing) as crew:
        assert dict(crew.map(double, [4], names=["4"])) == {0: 8}


def test_a_client_that_is_given_is_left_as_it_was(cluster: LocalCluster) -> None:
    said: list[str] = []
    with Client(cluster, set_as_default=False) as client:
        kept = client.submit(double, 21)
        with connect(None, client, log=said.append) as crew:
            assert dict(crew.map(double, [4], names=["4"])) == {0: 8}
        assert client.status == "running"
        assert kept.result() == 42
        assert client.submit(double, 5).result() == 10
    assert any("1 worker, 1 thread" in line for line in said)
    with pytest.raises(ClusterError, match="asynchronous or closed"), connect(None, client, log=log_nothing):
        pass


def test_a_scheduler_with_another_unetkit_is_an_error(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "run_on_scheduler", lambda *_: "9.9")
    refused(cluster.scheduler_address, r"The scheduler of the cluster has unetkit 9\.9, and this machine")


def test_each_gpu_has_a_worker_that_sees_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started, "_devices", lambda: ["3", "5"])
    before = dict(os.environ)
    with connect("local:gpus", log=log_nothing) as crew:
        found = {result for _, result in crew.map(environment, ["CUDA_VISIBLE_DEVICES"] * 20, names=["gpu"] * 20)}
    assert found == {"3", "5"}
    assert dict(os.environ) == before


def test_no_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started, "_devices", lambda: [])
    assert "local:4" in refused("local:gpus", "sees no GPU").remedy


def test_a_worker_has_its_share_of_the_threads_and_a_taken_dashboard_port_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(started, "threads_of_each", lambda number: 3)
    before = dict(os.environ)
    said: list[str] = []
    with socket.socket() as taken, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(started, "DASHBOARD_PORT", taken.getsockname()[1])
        with connect("local:1", log=said.append) as crew:
            assert dict(crew.map(environment, ["OMP_NUM_THREADS"], names=["threads"])) == {0: "3"}
    assert dict(os.environ) == before
    assert any("1 worker, 3 threads. Dashboard: http://127.0.0.1:" in line for line in said)


def test_workers_of_this_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    assert [started.threads_of_each(number) for number in (1, 3, 8, 20)] == [8, 2, 1, 1]
