"""PyTorch in a process that draws with OpenGL, as napari does."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec


def load_torch() -> None:
    """Import PyTorch; on Linux its Triton with symbols of its own.

    Mesa's drivers bring their LLVM into the symbols of the whole process. Triton has an LLVM of another version inside,
    whose names would be taken from Mesa's: the process crashes when something imports it after the first window.
    See https://github.com/pytorch/pytorch/issues/96060.
    """
    if hasattr(os, "RTLD_DEEPBIND") and "triton" not in sys.modules and find_spec("triton") is not None:
        flags = sys.getdlopenflags()
        sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
        try:
            import triton  # noqa: F401
        finally:
            sys.setdlopenflags(flags)
    import torch  # noqa: F401
