"""Give an environment what a package requires, as hard links to the files of this interpreter's packages.

Run it as `python .ci/link_requirements.py PACKAGE ENVIRONMENT`. Extras of PACKAGE are left out; extras that it asks of
others count.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main(package: str, environment: str) -> None:
    """Link all packages that one requires."""
    own = Path(sysconfig.get_path("purelib")).resolve()
    other = Path(sysconfig.get_path("purelib", vars={"base": environment, "platbase": environment}))
    linked = 0
    for dist in required(package):
        for file in dist.files or ():
            path = Path(str(dist.locate_file(file))).resolve()
            if path.is_relative_to(own) and path.is_file() and "__pycache__" not in path.parts:
                link(path, other / path.relative_to(own))
                linked += 1
    print(f"{linked:,} files linked")


def required(package: str) -> Iterator[Distribution]:
    """Yield the packages that one requires, directly or not, each once."""
    seen: set[tuple[str, str]] = set()
    waiting = [(package, "")]
    while waiting:
        name, extra = waiting.pop()
        dist = distribution(name)
        if (name, extra) != (package, "") and not any(known == name for known, _ in seen):
            yield dist
        seen.add((name, extra))
        for text in dist.requires or ():
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
                continue
            its = canonicalize_name(wanted.name)
            waiting += [
                pair for one in ("", *wanted.extras) if (pair := (its, one)) not in seen and pair not in waiting
            ]


def link(path: Path, target: Path) -> None:
    """Link a file, or copy it where the disk is another one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # files that several packages have
        return
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
