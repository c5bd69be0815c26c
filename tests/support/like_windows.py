"""A process that may do with files and processes only what Windows lets it do, as far as that can be shown elsewhere.

    python -X warn_default_encoding tests/support/like_windows.py "segment|image.tif|mask.tif" "measure|..."

Windows removes, renames and replaces no file that is open, neither a folder with one inside; takes no name with a colon
or a question mark in it; makes links only for administrators; starts processes anew; and takes text files for another
encoding. `restrict` has Python raise what it raises there; only Linux lists the open files that this needs.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$|^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$', re.IGNORECASE)
"""What the name of a file must not contain, or not be."""

ABSENT = {
    os: ("fork", "forkpty", "register_at_fork", "sched_getaffinity", "getloadavg"),
    signal: ("SIGHUP", "pthread_kill"),
}
"""What Python lacks on Windows."""

ABSENT_MODULES = ("fcntl", "resource", "pwd", "termios")


def restrict(folder: Path) -> None:
    """Restrict this process from here on, with its files in `folder`."""
    import torch  # noqa: F401  # libraries have their own ways for Windows, which are not what is tested
    from filelock import FileLock  # noqa: F401

    multiprocessing.set_start_method("spawn")
    warnings.filterwarnings("error", category=EncodingWarning, module="unetkit")
    for module, names in ABSENT.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for name in ABSENT_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    os.rename = _not_over_others(os.rename)  # type: ignore[assignment]
    root = str(folder.resolve())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.remove", "os.rmdir", "os.rename", "os.mkdir", "os.symlink", "open"):
            _check(event, arguments, root)

    sys.addaudithook(hook)


def _check(event: str, arguments: tuple[Any, ...], root: str) -> None:
    """Raise what Windows raises for a call."""
    named = arguments[: 2 if event == "os.rename" else 1]
    paths = [os.path.abspath(os.fsdecode(path)) for path in named if isinstance(path, str | bytes | os.PathLike)]  # noqa: PTH100
    for path in paths:
        if not path.startswith(root):
            continue
        if event == "os.symlink":
            raise OSError(22, "A required privilege is not held by the client", path)
        if any(FORBIDDEN.search(part) for part in path.removeprefix(root).split("/")):
            raise OSError(22, "The filename, directory name, or volume label syntax is incorrect", path)
        if event in ("os.remove", "os.rename") and any(one == path or one.startswith(f"{path}/") for one in _open()):
            raise PermissionError(13, "The process cannot access the file because it is being used", path)


def _open() -> Iterator[str]:
    """Yield the files that this process and its children have open or mapped."""
    for process in _family("self"):
        try:
            for one in Path(f"/proc/{process}/fd").iterdir():
                yield str(one.readlink())
        except OSError:  # closed or ended meanwhile
            continue
        for line in Path(f"/proc/{process}/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            yield line.split(maxsplit=5)[-1]


def _family(process: str) -> Iterator[str]:
    yield process
    try:
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text(encoding="utf-8").split():
                yield from _family(child)
    except OSError:
        return


def _not_over_others(rename: Callable[..., None]) -> Callable[..., None]:
    """Return `os.rename` as it is on Windows, where `os.replace` alone replaces files."""

    def renamed(source: Any, target: Any, **more: Any) -> None:
        if os.path.exists(target):  # noqa: PTH110  # as it is given
            raise FileExistsError(17, "Cannot create a file when that file already exists", str(target))
        rename(source, target, **more)

    return renamed


if __name__ == "__main__":
    restrict(Path.cwd())
    from unetkit.cli import main

    for line in sys.argv[1:]:
        if code := main(line.split("|")):
            sys.exit(code)
