"""What the Dockerfile promises, read from it; the container itself is built where there is a daemon."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def steps() -> list[tuple[str, str]]:
    """The instructions with their arguments; comments are left out, continued lines are joined."""
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def last_stage() -> dict[str, str]:
    """The instructions of the image itself; the last of each kind."""
    found: dict[str, str] = {}
    for name, rest in steps():
        found = {} if name == "FROM" else {**found, name: rest}
    return found


def test_the_base_is_an_argument_of_both_stages() -> None:
    froms = [rest for name, rest in steps() if name == "FROM"]
    assert froms == ["${BASE} AS build", "${BASE}"]
    assert steps()[0] == ("ARG", "BASE=python:3.11-slim-bookworm")


def test_it_runs_as_a_user_without_rights() -> None:
    assert last_stage()["USER"] == "1000:1000"


def test_all_that_is_written_beside_outputs_goes_to_one_folder() -> None:
    variables = dict(word.split("=", 1) for word in last_stage()["ENV"].split())
    for name in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        assert Path(variables[name]).is_relative_to("/tmp")
    assert variables["PATH"].startswith("/opt/unetkit/bin:")


def test_packages_have_the_versions_of_the_tests() -> None:
    (install,) = [rest for name, rest in steps() if name == "RUN" and "pip install" in rest]
    assert "--constraint constraints.txt" in install
    (extras,) = [rest for name, rest in steps() if name == "ARG" and rest.startswith("EXTRAS=")]
    assert set(extras.removeprefix("EXTRAS=").split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_labels_are_those_of_the_project() -> None:
    assert ("ARG", f"VERSION={PROJECT['version']}") in steps()
    assert f'licenses="{PROJECT["license"]}"' in last_stage()["LABEL"]


def test_all_that_is_copied_reaches_the_builder() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    copied = [rest.split()[:-1] for name, rest in steps() if name == "COPY" and "--from" not in rest]
    for name in [one for names in copied for one in names]:
        assert (ROOT / name).exists()
        assert any(fnmatch(name.removeprefix("./"), one) for one in kept), name


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["segment", "a b.tif", "out"], "unetkit segment,a b.tif,out"),
        (["--version"], "unetkit --version"),
        (["/bin/echo", "a shell"], "a shell"),
    ],
)
def test_words_go_to_unetkit_and_programs_of_engines_are_started(words: list[str], said: str, tmp_path: Path) -> None:
    program = tmp_path / "unetkit"
    program.write_text('#!/bin/sh\nIFS=,\necho "unetkit $*"\n', encoding="utf-8")
    program.chmod(0o755)
    entry = json.loads(last_stage()["ENTRYPOINT"])
    done = subprocess.run(
        [*entry, *words], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said


def test_without_words_it_shows_its_help() -> None:
    assert json.loads(last_stage()["CMD"]) == ["--help"]
