from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
import torch

from unetkit.foundation.errors import ConfigError
from unetkit.inference.tuning import device
from unetkit.inference.tuning.device import cache_bytes, choose_device, describe_device, free_memory, resident_memory

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["warp", "", "cuda:99", "meta", "hpu", "privateuseone"])
def test_an_impossible_device_is_an_error_with_a_remedy(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used here") as caught:
        choose_device(name)
    assert "'auto', 'cpu'" in caught.value.remedy


def test_auto_is_a_device_that_works() -> None:
    assert torch.ones(1, device=choose_device("auto")).item() == 1


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_prefers_cuda_then_mps(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen


def test_a_processor_is_described_by_its_name_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was timed is remembered under it: another machine on the same network drive is another key."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "A Processor"})
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert describe_device(CPU) == "A Processor, 12 cores"
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setattr(platform, "processor", lambda: "x86_64")
    assert describe_device(CPU) == "x86_64, 12 cores"


def test_resident_memory_is_at_least_what_is_held() -> None:
    held = torch.ones(2**24)  # 64 MB
    assert resident_memory() > held.numel() * 4


@pytest.mark.parametrize("status", [None, "Name: python\nVmHWM: 5 kB\n"])
def test_a_system_that_does_not_tell_is_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str | None
) -> None:
    file = tmp_path / "status"
    if status is not None:
        file.write_text(status)
    monkeypatch.setattr(device, "Path", lambda name: file)
    assert resident_memory() == device.UNKNOWN_RESIDENT


def test_on_a_cpu_a_budget_leaves_what_the_process_has_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "resident_memory", lambda: 3 * 10**8)
    assert free_memory(CPU, 10**9) == 7 * 10**8
    assert free_memory(CPU, None) == device.CPU_BUDGET - 3 * 10**8
    assert free_memory(CPU, 10**8) < 0


def test_a_process_that_holds_much_else_has_the_usual_memory_for_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "resident_memory", lambda: 50 * 10**9)
    assert free_memory(CPU, None) == device.CPU_BUDGET - device.FRESH_RESIDENT
    assert free_memory(CPU, 10**10) < 0


@pytest.mark.parametrize(("budget", "expected"), [(None, 8 * 10**9), (10**9, 10**9), (10**11, 8 * 10**9)])
def test_on_a_gpu_a_budget_is_of_its_free_memory(
    monkeypatch: pytest.MonkeyPatch, budget: int | None, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**10, 8 * 10**10))
    assert free_memory(torch.device("cuda"), budget) == expected


def test_decoded_parts_take_a_small_share_of_a_budget() -> None:
    assert cache_bytes(None, torch.device("cpu")) == device.USUAL_CACHE
    assert cache_bytes(3200, torch.device("cpu")) == 100


def test_beside_a_gpu_more_is_kept_decoded_whatever_bound_its_memory_has() -> None:
    assert cache_bytes(3200, torch.device("cuda")) == cache_bytes(None, torch.device("cuda")) == device.GPU_CACHE
