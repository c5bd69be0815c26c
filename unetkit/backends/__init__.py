"""Runtimes that a model can run on, behind one small interface."""

import sys

# OpenVINO and NNCF send usage data to their makers if they find this package, and fork a process each time.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as the import system understands it
