"""Pick the fastest backend, tile and batch by trying them, and remember the choice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from math import log2
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from unetkit.backends.base import Backend
from unetkit.backends.registry import PACKAGES, create_backend
from unetkit.errors import UnetkitError
from unetkit.inference.device import describe_device
from unetkit.inference.ensemble import Ensemble
from unetkit.inference.plan import Plan
from unetkit.io.partial import partial_file
from unetkit.io.user_cache import user_cache

FIRST_TILE = {"cpu": 1024, "mps": 1024, "cuda": 2048}
"""Tile, by kind of device, on which backends are compared."""

TIMED_RUNS = 2
SECONDS = 25.0
"""After so much time nothing more is tried."""


@dataclass(frozen=True)
class Tuner:
    """Times plans for a model.

    Attributes:
        ensemble: The models; the first is timed.
        dtype: Type of the raw pixels.
        tell: Called with what is going on.
        quantized: The models in int8, where plans are in it.
    """

    ensemble: Ensemble
    dtype: np.dtype[np.generic]
    tell: Callable[[str], None]
    quantized: Sequence[Backend] = ()

    def __call__(self, plans: list[Plan]) -> Plan:
        """Return the fastest plan: of the backends at one size, then of the sizes with the fastest backend."""
        known = self.recall(plans, similar=False)
        if known is not None:
            return known
        self.tell("Trying what is fastest on this machine, once for this model.")
        start = perf_counter()
        rates: dict[Plan, float] = {}
        for first in _first_plans(plans):
            with suppress(UnetkitError, torch.OutOfMemoryError):  # what does not work here is no choice
                rates[first] = self._rate(first, self._create(first))  # one after the other: memory is for one
        if not rates:
            smallest = min(plans, key=lambda plan: (plan.tile, plan.batch))
            return replace(smallest, why="the smallest: memory is too short to try any")
        best = max(rates, key=lambda plan: rates[plan])
        for plan in plans:
            if plan.backend == best.backend and plan.tile > best.tile and perf_counter() - start < SECONDS:
                with suppress(torch.OutOfMemoryError):
                    rates[plan] = self._rate(plan, self._create(plan))  # a new one: they keep memory of each size
        best = max(rates, key=lambda plan: rates[plan])
        table = ", ".join(f"{plan.backend} {plan.tile} {rate:.2f}" for plan, rate in rates.items())
        why = f"fastest, in Mpx/s by backend and tile: {table}"
        for key in (self._key(plans), self._key(plans, similar=True)):
            _remember(key, (best.backend, best.tile, best.batch, why))
        return replace(best, why=f"{why}; found in {perf_counter() - start:.0f} s")

    def recall(self, plans: list[Plan], similar: bool) -> Plan | None:
        """Return which of the plans was found to be the fastest before, if any.

        Args:
            plans: The plans.
            similar: Whether it is enough that others of the same backends were tried, as for a larger image.
        """
        known = _recall(self._key(plans, similar=similar))
        if known is None:
            return None
        backend, tile, batch, why = known
        usable = [plan for plan in plans if plan.backend == backend and plan.tile <= tile and plan.batch <= batch]
        chosen = max(usable, key=lambda plan: (plan.tile, plan.batch), default=None)
        if chosen is None:
            return None
        return replace(chosen, why=f"{why}; as measured before")

    def _create(self, plan: Plan) -> Backend:
        if plan.precision == "int8":
            return self.quantized[0]
        return create_backend(plan.backend, self.ensemble.segmenters[0], plan.device, plan.precision)

    def _rate(self, plan: Plan, backend: Backend) -> float:
        """Return kept megapixels a second, of tiles inside an image."""
        channels = self.ensemble.channels
        kind = torch.float32 if self.dtype.kind == "f" or self.dtype.itemsize > 2 else torch.uint8
        pixels = torch.zeros(plan.batch, channels, plan.tile, plan.tile, dtype=kind, device=backend.device)
        center = torch.zeros(plan.batch, channels, device=backend.device)
        kept = slice(plan.halo, plan.tile - plan.halo)
        seconds = []
        for _ in range(1 + TIMED_RUNS):
            start = perf_counter()
            backend(pixels, center, center + 1, (kept, kept))
            if plan.device.type == "cuda":
                torch.cuda.synchronize(plan.device)
            seconds.append(perf_counter() - start)
        return plan.batch * (plan.tile - 2 * plan.halo) ** 2 / min(seconds[1:]) / 1e6

    def _key(self, plans: list[Plan], *, similar: bool = False) -> str:
        """Return what a choice holds for: this machine, these models, these versions, and plans like these.

        Which tiles the memory allows changes a little from run to run: only about how large they may be counts, and not
        even that for plans that are similar.
        """
        packages = ["torch", "unetkit", *dict.fromkeys(name for plan in plans for name in PACKAGES[plan.backend])]
        facts = [
            describe_device(plans[0].device),
            self.ensemble.sha256,
            *(f"{name} {_version(name)}" for name in packages),
            *dict.fromkeys(f"{plan.backend} {plan.precision} {plan.halo}" for plan in plans),
        ]
        if not similar:
            facts.append(f"tiles of about {2 ** round(log2(max(plan.tile for plan in plans)))}")
        return hashlib.sha256("\n".join(facts).encode()).hexdigest() if self.ensemble.sha256 else ""


def _version(package: str) -> str:
    """Return the version of a package; "" if it came under another name, as onnxruntime-gpu does."""
    with suppress(PackageNotFoundError):
        return version(package)
    return ""


def _first_plans(plans: list[Plan]) -> list[Plan]:
    """Return one plan of each backend: that with the largest tile up to the one on which backends are compared."""
    found: dict[str, Plan] = {}
    for plan in sorted(plans, key=lambda plan: plan.tile):
        if plan.backend not in found or plan.tile <= FIRST_TILE[plan.device.type]:
            found[plan.backend] = plan
    return list(found.values())


def cache_file() -> Path:
    """Return the file that remembers choices."""
    return user_cache() / "tuning.json"


def _recall(key: str) -> tuple[str, int, int, str] | None:
    """Return backend, tile, batch and the reason that were remembered, if any."""
    try:
        backend, tile, batch, why = _read_cache()[key]
    except (ValueError, KeyError, TypeError):  # nothing remembered, or not in a way that can be read
        return None
    return (backend, tile, batch, why) if isinstance(tile, int) and isinstance(batch, int) else None


def _remember(key: str, choice: tuple[str, int, int, str]) -> None:
    """Keep a choice; where that is not possible it is made again next time."""
    if not key:
        return
    path = cache_file()
    with suppress(OSError, UnetkitError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial_file(path) as partial:
            partial.write_text(json.dumps({**_read_cache(), key: choice}, indent=1), encoding="utf-8")


def _read_cache() -> dict[str, Any]:
    """Return all that is remembered: nothing if there is no file, or one that is damaged."""
    try:
        known = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
