"""A graph of ONNX as a network: a tensor in, the outputs by their names out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetkit.foundation.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort

Run = Callable[[NDArray[Any]], dict[str, NDArray[Any]]]
"""Runs a graph: its input in, its outputs by name out. It serves several threads at a time."""

INSTALL = "pip install unetkit[onnxruntime]"
"""Command that installs what runs graphs."""

REAL_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
"""Types of inputs that a graph may have, by ONNX Runtime's names."""


class OnnxGraph(nn.Module):
    """A graph in a file, run by ONNX Runtime on the CPU wherever its input is.

    Args:
        path: The .onnx file. Weights in files beside it are found there.

    Raises:
        ModelError: ONNX Runtime is not installed or cannot run the graph, or its first input is not of real numbers.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._session: ort.InferenceSession | None = None
        self._lock = Lock()
        given, *others = self.session.get_inputs()
        self.input_name: str = given.name
        self.input_shape: tuple[int | str | None, ...] = tuple(given.shape)
        self.output_names: tuple[str, ...] = tuple(output.name for output in self.session.get_outputs())
        if others:
            names = ", ".join(one.name for one in (given, *others))
            raise ModelError(f"The graph in {path} has several inputs: {names}.", "Give a graph with one input.")
        if given.type not in REAL_TYPES:
            raise ModelError(f"The graph in {path} takes {given.type}.", "Give a graph that takes real numbers.")
        self.input_dtype = REAL_TYPES[given.type]

    @property
    def session(self) -> ort.InferenceSession:
        """The session that runs the graph; it serves any number of threads."""
        with self._lock:
            if self._session is None:
                self._session = open_graph(self.path)
            return self._session

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return all outputs of a batch by name, in float32 and on the device of the input."""
        array = pixels.detach().to("cpu", self.input_dtype).contiguous().numpy()
        outputs = self.in_batches(self._run_once, array)
        return {name: torch.from_numpy(output).to(pixels.device).float() for name, output in outputs.items()}

    def in_batches(self, run: Run, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return what a runtime gives for a batch: of its images one by one, where the graph takes one at a time.

        Args:
            run: Runs the graph.
            array: Its input.
        """
        if self.input_shape[0] != 1 or len(array) == 1:
            return run(array)
        parts = [run(array[number : number + 1]) for number in range(len(array))]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run_once(self, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.output_names, self.session.run(None, {self.input_name: array}), strict=True))

    def __deepcopy__(self, known: dict[int, Any]) -> OnnxGraph:
        """Return the same graph: nothing of it can be changed."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made anew elsewhere."""
        return {**copy(self.__dict__), "_session": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_lock": Lock()})  # type: ignore[no-untyped-call]


def open_graph(path: Path, providers: Sequence[str] = ("CPUExecutionProvider",)) -> ort.InferenceSession:
    """Open a graph in ONNX Runtime.

    Args:
        path: The .onnx file.
        providers: ONNX Runtime's names of where it runs.

    Raises:
        ModelError: It is not installed, or cannot run the graph.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise ModelError("ONNX files need ONNX Runtime.", f"Run `{INSTALL}`.") from error
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be printed too
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # its errors share no class but Exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path} is no graph that ONNX Runtime can run ({reason}).",
            "Copy it again, or export it with the operators of ONNX alone.",
        ) from error
