"""What all workers of a run have to know, and what each of them keeps of it: models with a plan, and open images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import TypeVar
from uuid import uuid4

import numpy as np
import torch

from unetkit.cluster.kept import kept
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ClusterError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.image import ImageRun, warm_up
from unetkit.inference.run.inputs import open_for, open_input
from unetkit.inference.run.jobs import Job, Order
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.inference.tuning.plan import ExecutionPlan
from unetkit.models.builtin_models import builtin_folder
from unetkit.models.sampling import ValidSource
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.zoo.opening import load_model

WHOLE_OUTPUTS = ("attention",)
"""Outputs of images that are seen whole, which need no plan."""

PROBE_SIZE = 64
"""Size along each axis of the window by which models in int8 are compared."""

OPEN_IMAGES = 4
"""Images that a worker keeps open at most."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class SentModel:
    """A model as a worker loads it.

    Attributes:
        file: Its file; the name of a built-in one, which lies elsewhere there.
        name: What it is called in messages and in the notes of outputs; "" as it is called there.
        sha256: The hash that these notes give.
        spec: The description to use in place of the one in the file, which lacks what was measured; None for that one.
    """

    file: Path
    name: str
    sha256: str
    spec: ModelSpec | None = None


@dataclass(frozen=True)
class Session:
    """A run of `segment` on a cluster.

    Attributes:
        id: What tells it from other runs.
        order: The order, with the first image that is to be predicted alone.
        results: Number of images that are to be predicted.
        models: The models.
        options: The user's choices. Once there is a plan, it stands in place of what they left open.
        verify_seams: Whether tiles of each result are compared with passes that see far more of the image.
        large: Pixels from which on an image is spread over workers.
        plan: How all images are predicted; None before it is made.
        int8: Digest of what the models in int8 give; "" where they are not in int8.
    """

    id: str
    order: Order
    results: int
    models: tuple[SentModel, ...]
    options: SegmentOptions
    verify_seams: bool
    large: int
    plan: ExecutionPlan | None = None
    int8: str = ""

    def beginning_with(self, job: Job) -> Session:
        """Return the session with the image for which the plan is made."""
        return replace(self, order=replace(self.order, jobs=(job,), result=job.result, images=(), models=None))

    def planned(self, plan: ExecutionPlan, int8: str, specs: Sequence[ModelSpec]) -> Session:
        """Return the session with its plan and the descriptions of its models: workers choose and measure nothing."""
        tiling = replace(
            self.options.tiling,
            device=str(plan.device),
            backend=plan.backend,
            precision=plan.precision,
            tile=plan.tile,
            batch=plan.batch,
        )
        models = tuple(replace(sent, spec=spec) for sent, spec in zip(self.models, specs, strict=True))
        options = replace(self.options, tiling=tiling)
        return replace(self, options=options, plan=plan, int8=int8, models=models)


@contextmanager
def sent_models(ensemble: Ensemble, folder: Path) -> Iterator[tuple[SentModel, ...]]:
    """Give the models as workers load them, while the block runs.

    Args:
        ensemble: The models. Those that were changed or made in memory are written to a file meanwhile.
        folder: A folder that all workers see.

    Raises:
        OutputError: One cannot be written.
    """
    written: list[Path] = []
    sent = []
    try:
        for segmenter in ensemble.segmenters:
            file, name = Path(segmenter.name).absolute(), segmenter.name
            if ensemble.owned and file.parent == builtin_folder():
                file, name = Path(file.stem), ""
            elif not _is_of_others(segmenter) and not (ensemble.owned and file.is_file()):
                file = folder.absolute() / f".{uuid4().hex}.safetensors"
                written.append(file)
                save_model(segmenter, file)
            sent.append(SentModel(file, name, segmenter.sha256))
        yield tuple(sent)
    finally:
        for file in written:
            file.unlink(missing_ok=True)


def _is_of_others(segmenter: Segmenter) -> bool:
    """Return whether another program has written a model, such that only its own file or folder has all of it."""
    return segmenter.spec.foreign is not None or not segmenter.halo_known


class Station:
    """What a worker keeps of a session.

    Args:
        session: The session.

    Attributes:
        run: Segments whole images.
        first_words: What was logged when it was made.

    Raises:
        UnetkitError: A model or the first image cannot be read here, or the plan is not possible here.
    """

    def __init__(self, session: Session) -> None:
        self._plan: ExecutionPlan | None = None
        self._said: list[str] = []
        self._lock = RLock()
        ensemble = Ensemble(tuple(map(load_sent, session.models)), owned=True)
        self.run = ImageRun(session.order, ensemble, session.options, None, self._said.append, session.verify_seams)
        if session.options.write.output not in WHOLE_OUTPUTS:
            self.run.use(self._warm_up(session))
        self.first_words = tuple(self._said)

    @property
    def predictor(self) -> Predictor:
        """The models with their plan."""
        return self.run.predictor(None)

    def take(self, plan: ExecutionPlan, int8: str) -> None:
        """Take the plan of the session.

        Args:
            plan: The plan.
            int8: See `Session`.

        Raises:
            ClusterError: This worker does not compute as the others do.
        """
        with self._lock:
            if self._plan is None:
                own = self.predictor.plan
                if replace(own, why="") != replace(plan, why=""):
                    raise ClusterError(
                        f"A worker would compute with {own}, but the others with {plan}.",
                        "Use workers of one kind, or give --device, --backend and --precision.",
                    )
                if int8 != self.int8:
                    raise ClusterError(
                        "A worker has other models in int8 than the worker that has made the plan.",
                        "Put the model files into a folder that all workers may write, where they share what int8 "
                        "takes; or give --precision fp32.",
                    )
                self._plan = self.predictor.plan = plan

    @property
    def int8(self) -> str:
        """Digest of what the models give for a window of noise; "" where they are not in int8.

        Each machine may have calibrated them by itself, on other pixels.
        """
        plan = self.predictor.plan
        if plan.precision != "int8":
            return ""
        shape = (1, self.run.ensemble.inputs, *(PROBE_SIZE,) * plan.axes)
        noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape).astype(np.float32))
        values = torch.full(shape[:2], 100.0)
        whole = (slice(0, PROBE_SIZE),) * plan.axes
        digest = sha256()
        for backend in self.predictor.backends:
            digest.update(backend(noise, values, values, whole).cpu().numpy().tobytes())
        return digest.hexdigest()

    def heard(self, do: Callable[[], Result]) -> tuple[Result, tuple[str, ...]]:
        """Do something alone; return what it gives, and the sentences that were logged meanwhile."""
        with self._lock:
            self._said.clear()
            return do(), tuple(self._said)

    def open(self, image: Path) -> ValidSource:
        """Open an image without a word: what is to be said of it was said when it was first opened."""
        return ValidSource(open_for(image, self.run.ensemble, self.run.options.read)[0])

    def _warm_up(self, session: Session) -> Predictor:
        first, options = session.order.jobs[0], self.run.options
        with closing(open_input(first.image, self.run.ensemble, options, log_nothing)) as source:
            results = [first.result] * session.results
            return warm_up(self.run.ensemble, options, source, results, self._said.append)


def station(session: Session) -> Station:
    """Return what this worker keeps of a session; it is made by the first task."""
    here = kept(("station", session.id), lambda: Station(session), most=1)
    if session.plan is not None:
        here.take(session.plan, session.int8)
    return here


def opened(session: Session, image: Path, zoom: float = 1.0) -> ValidSource:
    """Return an image that this worker keeps open, as models see it that are given so many pixels for one of its."""
    here, key = station(session), ("image", session.id, image, zoom)
    return kept(key, lambda: here.open(image).zoomed(zoom), ValidSource.close, most=OPEN_IMAGES)


def make_plan(session: Session) -> tuple[ExecutionPlan, str, tuple[ModelSpec, ...], tuple[str, ...]]:
    """Return the plan of a run, the digest of its models in int8, their descriptions, and what was logged on the way.

    It is made on a worker, whose device counts.
    """
    here = station(session)
    return here.predictor.plan, here.int8, here.run.ensemble.specs, here.first_words


def load_sent(model: SentModel) -> Segmenter:
    """Load a model as the client has it."""
    segmenter = load_model(model.file)
    segmenter.name, segmenter.sha256 = model.name or segmenter.name, model.sha256
    if model.spec is not None:
        segmenter.spec, segmenter.halo_known, segmenter.remarks = model.spec, True, ()
    return segmenter
