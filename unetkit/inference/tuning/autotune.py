"""Pick the fastest backend, tile and batch by timing them, and remember the choice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import log2, prod
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from unetkit.backends.base import Backend
from unetkit.backends.registry import backend_info, backend_names, version_of
from unetkit.backends.sessions import close_session, open_session
from unetkit.foundation.errors import UnetkitError
from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.foundation.user_cache import user_cache
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.tuning.device import describe_device
from unetkit.inference.tuning.plan import ExecutionPlan, usual_plan

TUNING_SHARE = 0.05
"""Largest share of the estimated time of a job that timing may take, with putting models on backends."""

NEW_TILE_FACTOR = 1.15
"""Factor by which tiles must exceed those timed before to be timed anew, since free memory changes from run to run."""

TILE_PREFIX = "tiles of "
"""Beginning of the name of a tile size among the names of what was tried."""

TIMED_RUNS = 1
"""Number of windows that are timed, after one that is not."""


@dataclass
class Tuner:
    """Times plans for a model, within a small share of the time that a job takes.

    The plan in use is compared with each plan that was not tried yet. The faster one stays. The result is remembered,
    so that later jobs go on with the plans for which there was no time.

    Attributes:
        ensemble: The models; the first is timed.
        dtype: Type of the raw pixels.
        log: Called with sentences about what happens.
        quantized: The models in int8, where plans are in it.
        pixels: Pixels of the job, times the orientations in which each is predicted.
    """

    ensemble: Ensemble
    dtype: np.dtype[np.generic]
    log: Callable[[str], None]
    quantized: Sequence[Backend] = ()
    pixels: int = 0

    def __call__(self, plans: list[ExecutionPlan]) -> ExecutionPlan:
        """Return the fastest plan of those for which there was time."""
        known = self._recall(plans, similar=False)
        known = known if known and known.choose(plans, "") else None
        search = _Search(self, plans, known)
        if known is not None and not search.affordable():
            return known.choose(plans, "as measured before") or usual_plan(plans)
        found = None
        try:
            found = search.run()
        except torch.OutOfMemoryError:  # not even the smallest window
            smallest = min(plans, key=lambda plan: (plan.side, plan.batch))
            return replace(smallest, why="the smallest: memory is too short to try any")
        finally:
            self.forget(plans, found.choose(plans, "") if found else None)
        for similar in (False, True):
            _remember(self._key(plans, similar=similar), found)
        return found.choose(plans, f"found in {search.spent():.1f} s") or usual_plan(plans)

    def recall(self, plans: list[ExecutionPlan], similar: bool) -> ExecutionPlan | None:
        """Return which of the plans was found to be the fastest before, if any; None if some are still to be tried.

        Args:
            plans: The plans.
            similar: Whether it is enough that others of the same backends were tried, as for a larger image, and not
                all of them.
        """
        known = self._recall(plans, similar)
        if known is None or (not similar and _untried(plans, known)):
            return None
        return known.choose(plans, "as measured before")

    def _recall(self, plans: list[ExecutionPlan], similar: bool) -> Found | None:
        return _recall(self._key(plans, similar=similar))

    def create(self, plan: ExecutionPlan) -> Backend:
        """Put the first model on the backend of a plan."""
        if plan.precision == "int8":
            return self.quantized[0]
        return open_session(plan.backend, self.ensemble.segmenters[0], plan.device, plan.precision)

    def forget(self, plans: list[ExecutionPlan], best: ExecutionPlan | None) -> None:
        """Drop the model on the backends of plans, but for the best if the next run uses it."""
        for plan in plans:
            uses = (
                best is not None
                and plan.backend == best.backend
                and not (self.ensemble.owned and backend_info(best.backend).takes_weights)
            )
            if plan.precision != "int8" and not uses:
                close_session(plan.backend, self.ensemble.segmenters[0], plan.device, plan.precision)

    def time(self, plan: ExecutionPlan, backend: Backend) -> float:
        """Return the seconds that a batch of tiles inside an image takes, after a first one."""
        channels = self.ensemble.inputs
        kind = torch.float32 if self.dtype.kind == "f" or self.dtype.itemsize > 2 else torch.uint8
        pixels = torch.zeros(plan.batch, channels, *plan.window, dtype=kind, device=backend.device)
        center = torch.zeros(plan.batch, channels, device=backend.device)
        seconds = []
        for _ in range(1 + TIMED_RUNS):
            start = perf_counter()
            backend(pixels, center, center + 1, plan.inner)
            if plan.device.type == "cuda":
                torch.cuda.synchronize(plan.device)
            seconds.append(perf_counter() - start)
        backend.release()  # memory is for one
        return min(seconds[1:])

    def _key(self, plans: list[ExecutionPlan], *, similar: bool = False) -> str:
        """Return the key of a choice: this machine, these models, these versions, and plans like these.

        The tiles that the memory allows change a little from run to run. So only the approximate size of the largest
        one counts, and for similar plans no size at all.
        """
        packages = [
            "torch",
            "unetkit",
            *dict.fromkeys(name for plan in plans for name in backend_info(plan.backend).packages),
        ]
        facts = [
            describe_device(plans[0].device),
            self.ensemble.sha256,
            *(f"{name} {version_of(name)}" for name in packages),
            *dict.fromkeys(f"{plan.backend} {plan.precision} {plan.halo}" for plan in plans),
        ]
        if not similar:
            facts.append(f"tiles of about {2 ** round(log2(max(plan.side for plan in plans)))}")
        return hashlib.sha256("\n".join(facts).encode()).hexdigest() if self.ensemble.sha256 else ""


@dataclass(frozen=True)
class Found:
    """The result of trying so far.

    Attributes:
        backend: The fastest backend.
        tile: Longest side of its best tile.
        batch: Its batch.
        speed: Pixels of windows that it computes in a second.
        tried: Names of the plans that were tried.
        rates: Sentence about what was compared.
    """

    backend: str
    tile: int
    batch: int
    speed: float
    tried: tuple[str, ...]
    rates: str

    def choose(self, plans: list[ExecutionPlan], when: str) -> ExecutionPlan | None:
        """Return the plan among these that is like the fastest one; None if there is none."""
        usable = [
            plan
            for plan in plans
            if plan.backend == self.backend and plan.side <= self.tile and plan.batch <= self.batch
        ]
        chosen = max(usable, key=lambda plan: (plan.side, plan.batch), default=None)
        untried = _untried(plans, self)
        rest = f"; not yet tried, for lack of time: {', '.join(untried)}" if untried else ""
        return chosen and replace(chosen, why=f"{self.rates}; {when}{rest}")


def _untried(plans: list[ExecutionPlan], known: Found | None) -> list[str]:
    """Return the names of the untried: backends, the likely fastest first, then tiles larger than the best."""
    tried = known.tried if known is not None else ()
    timed = [int(name.rpartition(" ")[2]) for name in tried if name.startswith(TILE_PREFIX)]
    least = NEW_TILE_FACTOR * max(timed) if timed else plans[0].usual_side + 1
    backends = [name for name in reversed(backend_names()) if any(plan.backend == name for plan in plans)]
    larger = [f"{TILE_PREFIX}{size}" for size in sorted({plan.side for plan in plans}) if size >= least]
    return [name for name in (*backends, *larger) if name not in tried]


class _Search:
    """One search, counted from its first second.

    Args:
        tuner: The models, and how they are timed.
        plans: The plans.
        known: Result of an earlier search.
    """

    def __init__(self, tuner: Tuner, plans: list[ExecutionPlan], known: Found | None) -> None:
        self._start = perf_counter()
        self._tuner = tuner
        self._plans = plans
        self._tried = list(known.tried) if known else []
        self._speed = known.speed if known else 0.0
        best = (known and known.choose(plans, "")) or usual_plan(plans)
        self._best = best if self._has_timed_tiles() else self._at(best.backend, best.usual_side)
        self._notes = [known.rates] if known else []
        self._backend: Backend | None = None
        self._untried = _untried(plans, known)

    def spent(self) -> float:
        """Return the seconds since the beginning."""
        return perf_counter() - self._start

    def affordable(self) -> str | None:
        """Return the next candidate for which there is time, if there is one."""
        left = self._allowance() - self.spent()
        if self._backend is None:
            left -= backend_info(self._best.backend).creation_seconds
        tiles = {f"{TILE_PREFIX}{plan.side}" for plan in self._plans if plan.side <= self._best.side}
        return next((name for name in self._untried if name not in tiles and self._cost(name) <= left), None)

    def run(self) -> Found:
        """Try the candidates for which there is time."""
        best = self._best
        self._backend = self._tuner.create(best)  # an error of the usual plan is one of the run
        if not self._speed:
            smallest = self._at(best.backend, 0)
            self._speed = _pixels(smallest) / self._tuner.time(smallest, self._backend)
            self._tried.append(best.backend)
            self._untried = [name for name in self._untried if name != best.backend]
        logged = False
        while (name := self.affordable()) is not None:
            if not logged:
                self._tuner.log("Trying what is fastest on this machine, for a small part of the time that this takes.")
                logged = True
            self._untried.remove(name)
            self._tried.append(name)
            with suppress(UnetkitError, torch.OutOfMemoryError):  # a candidate that does not work here is no choice
                self._try(name)
        rates = "; ".join(filter(None, self._notes)) or "the usual one"
        best = self._best
        if not self._has_timed_tiles():
            best = usual_plan([plan for plan in self._plans if plan.backend == best.backend])
        return Found(best.backend, best.side, best.batch, self._speed, tuple(self._tried), rates)

    def _try(self, name: str) -> None:
        """Compare the plan in use with a candidate, and use the candidate if it is faster."""
        if not name.startswith(TILE_PREFIX):
            tile = self._trial_tile(name)
            mine, its = self._at(self._best.backend, tile), self._at(name, tile)
            backend: Backend | None = self._tuner.create(its)
        else:
            mine, its = self._best, self._at(self._best.backend, int(name.rpartition(" ")[2]))
            backend = self._backend
        assert self._backend is not None
        assert backend is not None
        rates = [_kept(plan) / self._tuner.time(plan, on) / 1e6 for plan, on in ((its, backend), (mine, self._backend))]
        labels = [f"{plan.backend} {plan.side} {rate:.2f}" for plan, rate in zip((its, mine), rates, strict=True)]
        self._notes = [*self._notes[-2:], f"fastest, in Mpx/s by backend and tile: {', '.join(labels)}"]
        if rates[0] > rates[1]:
            self._speed *= rates[0] / rates[1]
            self._best = its if name.startswith(TILE_PREFIX) else self._at(its.backend, self._best.side)
            self._backend = backend

    def _has_timed_tiles(self) -> bool:
        return any(name.startswith(TILE_PREFIX) for name in self._tried)

    def _allowance(self) -> float:
        """Return the seconds that trying may take."""
        if not self._speed:
            return 0.0
        computed = self._tuner.pixels * len(self._tuner.ensemble.segmenters) * _pixels(self._best) / _kept(self._best)
        return TUNING_SHARE * computed / self._speed

    def _cost(self, name: str) -> float:
        """Return the approximate seconds that trying a candidate takes."""
        runs = 1 + TIMED_RUNS
        if name.startswith(TILE_PREFIX):
            plans = [self._best, self._at(self._best.backend, int(name.rpartition(" ")[2]))]
            return runs * sum(map(_pixels, plans)) / self._speed
        smallest = self._at(name, 0)
        return backend_info(smallest.backend).creation_seconds + 2 * runs * _pixels(smallest) / self._speed

    def _trial_tile(self, name: str) -> int:
        """Return the largest tile, up to the usual one, with which there is time to compare two backends."""
        left = self._allowance() - self.spent() - backend_info(name).creation_seconds
        sizes = sorted({plan.side for plan in self._plans if plan.side <= self._best.side})
        each = 2 * (1 + TIMED_RUNS) / self._speed
        return max((size for size in sizes if _pixels(self._at(name, size)) * each <= left), default=sizes[0])

    def _at(self, backend: str, tile: int) -> ExecutionPlan:
        """Return the plan of a backend with a tile, or with the next smaller one that it has, or with its smallest."""
        own = sorted((plan for plan in self._plans if plan.backend == backend), key=lambda plan: plan.side)
        return next((plan for plan in reversed(own) if plan.side <= tile), own[0])


def _pixels(plan: ExecutionPlan) -> int:
    """Return the pixels of a batch of windows."""
    return plan.batch * prod(plan.window)


def _kept(plan: ExecutionPlan) -> int:
    """Return the pixels of a batch of windows that are kept."""
    return plan.batch * int(prod(part.stop - part.start for part in plan.inner))


def cache_file() -> Path:
    """Return the file that remembers choices."""
    return user_cache() / "tuning.json"


def _recall(key: str) -> Found | None:
    """Return the remembered result; None if there is none."""
    entry: Any = _read_all().get(key)
    try:
        found = Found(**{**entry, "tried": tuple(entry["tried"])})
        return found if found.tile > 0 and found.batch > 0 and found.speed > 0 else None
    except (ValueError, KeyError, TypeError):  # nothing remembered, or not in a way that can be read
        return None


def _remember(key: str, found: Found) -> None:
    """Keep a result. If that is not possible, it is found again next time."""
    if key:
        write_cache(cache_file(), {**_read_all(), key: asdict(found)})


def _read_all() -> dict[str, Any]:
    """Return all remembered results."""
    known = read_cache(cache_file())
    return known if isinstance(known, dict) else {}
