"""The command lines of the examples for workflow engines run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from tifffile import imread

import unetkit

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / "examples" / "workflows"
CELLS = WORKFLOWS / "galaxy" / "test-data" / "cells.png"
TOOL = ET.parse(WORKFLOWS / "galaxy" / "unetkit_segment.xml").getroot()


def in_nextflow(image: str, model: Path, block: str = "script") -> str:
    """The script of the module as Nextflow fills it in."""
    text = (WORKFLOWS / "nextflow" / "main.nf").read_text(encoding="utf-8")
    found = re.search(rf'\n    {block}:\n.*?"""\n(.*?)"""', text, re.DOTALL)
    assert found is not None
    values = {
        "image": image,
        "prefix": "labels",
        "task.cpus": "1",
        "task.process": "UNETKIT_SEGMENT",
        "memory": "--memory 2000MB",
        "chosen": f"--model '{model}'",
        "args": "--split",
    }
    script = re.sub(r"(?<!\\)\$\{([\w.]+)\}", lambda name: values[name[1]], dedent(found[1]))
    return "set -ue\n" + script.replace("\\$", "$")


def in_snakemake(image: str, model: Path) -> str:
    """The shell command of the rule as Snakemake fills it in."""
    text = (WORKFLOWS / "snakemake" / "Snakefile").read_text(encoding="utf-8")
    found = re.search(r"\nrule segment:.*?    shell:\n(.*?)\n\n", text, re.DOTALL)
    assert found is not None
    values = {
        "input.image": image,
        "output.labels": "labels.tif",
        "output.table": "labels.csv",
        "resources.mem_mb": "2000",
        "threads": "1",
        "params.model": f"--model '{model}'",
        "params.options": "--split",
        "log": "log.txt",
    }
    command = "".join(re.findall(r'"(.*)"', found[1]))
    return "set -euo pipefail\n" + re.sub(
        r"\{([\w.]+)(:q)?\}", lambda name: shlex.quote(values[name[1]]) if name[2] else values[name[1]], command
    )


def in_galaxy(image: str, model: Path, output: str = "labels") -> str:
    """The command of the tool as Galaxy fills it in: a line of words."""
    command = TOOL.findtext("command") or ""
    if output != "labels":
        command = re.sub(r"#if str\(\$output\) == 'labels'.*?#end if", "", command, flags=re.DOTALL)
    command = re.sub(r"^#.*$", "", command, flags=re.MULTILINE)
    values = {"image.ext": "png", "image": image, "model": str(model), "output": output, "split": "--split"}
    filled = re.sub(r"(?<!\\)\$(image\.ext|\w+)", lambda name: values[name[1]], command)
    return " ".join(filled.replace("\\$", "$").split())


ENGINES = [in_nextflow, in_snakemake, in_galaxy]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script of bash, in which `unetkit` is this one."""
    program = tmp_path / "bin" / "unetkit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m unetkit "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    paths = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("engine", ENGINES)
def test_the_command_of_an_engine_segments_an_image(
    engine: Callable[..., str],
    run: Callable[[str], subprocess.CompletedProcess[str]],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    image = tmp_path / "a b.png"
    image.write_bytes(CELLS.read_bytes())
    done = run(engine(str(image), tiny_model))
    assert done.returncode == 0, done.stderr
    labels, table = ("result.tif", "objects.csv") if engine is in_galaxy else ("labels.tif", "labels.csv")
    assert imread(tmp_path / labels).shape == (128, 128)
    assert "area_px" in (tmp_path / table).read_text(encoding="utf-8").splitlines()[0]
    if engine is in_nextflow:
        versions = yaml.safe_load((tmp_path / "versions.yml").read_text(encoding="utf-8"))
        assert versions == {"UNETKIT_SEGMENT": {"unetkit": unetkit.__version__}}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_broken_image_ends_the_job_with_the_code_of_bad_input(
    engine: Callable[..., str],
    run: Callable[[str], subprocess.CompletedProcess[str]],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    image = tmp_path / "broken.png"
    image.write_bytes(CELLS.read_bytes()[:60])
    done = run(engine(str(image), tiny_model))
    assert done.returncode == 2, done.stderr
    log = tmp_path / "log.txt"
    assert "Error: " in (log.read_text(encoding="utf-8") if engine is in_snakemake else done.stderr)


def test_the_stub_of_nextflow_makes_all_outputs(
    run: Callable[[str], subprocess.CompletedProcess[str]], tiny_model: Path, tmp_path: Path
) -> None:
    assert run(in_nextflow("a.png", tiny_model, "stub")).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "labels.tif", "labels.csv", "versions.yml"}


def test_galaxy_knows_the_version_and_all_outputs(
    run: Callable[[str], subprocess.CompletedProcess[str]], tiny_model: Path
) -> None:
    assert TOOL.attrib["version"].startswith(f"{unetkit.__version__}+")
    assert run(TOOL.findtext("version_command") or "").stdout == f"unetkit {unetkit.__version__}\n"
    command = in_galaxy("a.png", tiny_model)
    for data in TOOL.iter("data"):
        assert data.attrib["from_work_dir"] in command
    for value in [option.attrib["value"] for option in TOOL.iter("option")]:
        assert ("--table" in in_galaxy("a.png", tiny_model, value)) == (value == "labels")


def test_the_engines_name_the_container_and_the_file_names_of_this_version() -> None:
    module = (WORKFLOWS / "nextflow" / "main.nf").read_text(encoding="utf-8")
    container = f"unetkit:{unetkit.__version__}"
    assert f'container "{container}"' in module
    assert TOOL.findtext("requirements/container") == container
    for path in (*WORKFLOWS.glob("*/environment.y*ml"), WORKFLOWS / "nextflow" / "meta.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
