from __future__ import annotations

from dataclasses import replace

from unetkit.planning.machine import find_machine
from unetkit.planning.timing import time_crop


def test_this_machine_is_found() -> None:
    machine = find_machine("cpu")
    assert (machine.device, machine.gpu) == ("cpu", False)
    assert machine.cores >= 1
    assert machine.memory == machine.device_memory > 2**28


def test_larger_crops_take_longer() -> None:
    machine = replace(find_machine("cpu"), bfloat16=False)
    small, large = (time_crop({"encoder": "resnet18"}, 1, (crop, crop), 2, machine) for crop in (32, 160))
    assert 0 < small < large < 60
