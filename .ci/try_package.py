"""Build the wheel and the sdist, install the wheel into an environment of its own, and segment an image with it.

Run it as `python .ci/try_package.py PYTHON`, where PYTHON is an interpreter that has the package `build` and all that
unetkit requires. The new environment gets what the wheel declares, with what that requires, and nothing else. Its files
are hard links to those that PYTHON has: PyTorch alone would take 5 GB and minutes a second time.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("unetkit/models/builtin/nuclei.safetensors", "unetkit/models/builtin/nuclei.md", "unetkit/py.typed")

USE = """
import numpy as np, tifffile, unetkit
y, x = np.mgrid[:256, :256]
cells = np.hypot(y % 64 - 32, x % 64 - 32) < 12
tifffile.imwrite("cells.tif", (30 + 150 * cells).astype(np.uint8))
tifffile.imwrite("truth.tif", cells.astype(np.uint8))
print(unetkit.__version__, unetkit.__file__)
"""


def main(python: str) -> None:
    """Build and try the packages."""
    build = ROOT / "build"  # on the disk of the environment, which hard links need
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as name:
        folder = Path(name)
        run(python, "-m", "build", "--outdir", folder / "dist", ROOT)
        (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
        check(set(zipfile.ZipFile(wheel).namelist()), wheel.name)
        with tarfile.open(sdist) as archive:
            check({path.partition("/")[2] for path in archive.getnames()}, sdist.name)
        venv.create(folder / "venv", with_pip=True)
        scripts = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        pip = (scripts / "python", "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "--quiet", "--no-deps", wheel)
        run(python, ROOT / ".ci" / "link_requirements.py", "unetkit", folder / "venv")
        run(*pip, "check")
        run(scripts / "python", "-c", USE, cwd=folder)
        run(scripts / "unetkit", "segment", "cells.tif", "mask.tif", cwd=folder)
        run(scripts / "unetkit", "evaluate", "mask.tif", "truth.tif", cwd=folder)
    print(f"{wheel.name} and {sdist.name} install and work.")


def check(names: set[str], package: str) -> None:
    """Stop if a file is missing."""
    if missing := [name for name in NEEDED if name not in names]:
        raise SystemExit(f"{package} lacks {', '.join(missing)}")


def run(*command: object, cwd: Path = ROOT) -> None:
    """Run a command; stop if it fails."""
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


if __name__ == "__main__":
    main(sys.argv[1])
