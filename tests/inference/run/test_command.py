from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from unetkit.cli import main
from unetkit.inference.run.command import whole_command
from unetkit.inference.tiling.object_options import ObjectOptions
from unetkit.inference.tiling.options import OutputOptions, SegmentOptions, TilingOptions
from unetkit.io.base.read_options import ReadOptions


def test_the_written_command_asks_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    options = SegmentOptions(
        ReadOptions(channels="0,DAPI", region="1,2,3,4"),
        TilingOptions(tile=256, memory="1GB", tta=True),
        OutputOptions(output="labels", min_size=5, report=Path("-a b.html")),
        ObjectOptions(table=Path("t"), ring="5um"),
    )
    command = whole_command(["-in", "b.tif"], "out dir", ["m.safetensors", "nuclei"], options)
    seen = []

    def note(images: list[Path], result: Path, model: list[Path], *rest: object) -> None:
        seen.append((images, result, model, *rest))
        raise KeyboardInterrupt

    monkeypatch.setattr("unetkit.inference.run.jobs.take_order", note)
    assert main(shlex.split(command)[1:]) != 0
    (images, result, model, given, _), *_ = seen
    assert ([*map(str, images)], str(result)) == (["-in", "b.tif"], "out dir")
    assert [*map(str, model)] == ["m.safetensors", "nuclei"]
    assert given == options
