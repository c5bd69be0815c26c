"""A server on this machine that answers as Hugging Face does, for a few repositories; and one of plain files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "a" * 40
NEXT_COMMIT = "b" * 40


@dataclass
class FakeRepository:
    """A repository: its files by commit, and its branches."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    licence: str = "mit"
    token: str = ""


@dataclass
class FakeHub:
    """What the server has, and what it was asked for.

    Attributes:
        repositories: By owner and name.
        files: Plain files by path; a number is an answer with this status.
        asked: Method and path of each request.
        cut: Whether the second half of each plain file is left out.
        moved: Where each plain file is said to have gone; "" for nowhere.
    """

    repositories: dict[str, FakeRepository] = field(default_factory=dict)
    files: dict[str, bytes | int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: bool = False
    moved: str = ""
    address: str = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            _answer(self, hub)

        def do_GET(self) -> None:
            _answer(self, hub)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, hub: FakeHub) -> None:
    hub.asked.append(f"{request.command} {request.path}")
    path = request.path.partition("?")[0].strip("/")
    if path in hub.files:
        _answer_file(request, hub, hub.files[path])
        return
    api = path.startswith("api/models/")
    owner, name, *rest = path.removeprefix("api/models/").split("/")
    repository = hub.repositories.get(f"{owner}/{name}")
    if repository is None or (repository.token and repository.token not in request.headers.get("Authorization", "")):
        _send(request, 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        return
    revision = rest[1] if len(rest) > 1 else "main"
    commit = repository.branches.get(revision, revision)
    if commit not in repository.commits:
        _send(request, 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Revision not found"})
        return
    files = repository.commits[commit]
    if api:
        described = {
            "id": f"{owner}/{name}",
            "sha": commit,
            "cardData": {"license": repository.licence},
            "siblings": [{"rfilename": file} for file in files],
        }
        _send(request, 200, {"Content-Type": "application/json"}, json.dumps(described).encode())
        return
    content = files.get("/".join(rest[2:]))
    if content is None:
        _send(request, 404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        return
    _send(request, 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, content)


def _answer_file(request: BaseHTTPRequestHandler, hub: FakeHub, content: bytes | int) -> None:
    if hub.moved:
        _send(request, 302, {"Location": hub.moved})
    elif isinstance(content, int):
        _send(request, content, {})
    else:
        _send(request, 200, {}, content, len(content) // 2 if hub.cut else len(content))


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes = b"", sent: int | None = None
) -> None:
    request.send_response(status)
    for key, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(key, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body[: len(body) if sent is None else sent])
