from __future__ import annotations

import subprocess
import sys

CONVERT = """
import sys
import torch
from unetkit.backends.openvino_backend import graph_of
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
graph_of(Segmenter(ModelSpec("resnet18", 1, 2, 3, (8, 8, 8))))
senders = [name for name in sys.modules if name.startswith("openvino_telemetry.")]
print(senders, sys.modules["openvino_telemetry"])
"""


def test_converting_a_model_sends_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", CONVERT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] None"
