from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import unetkit
from unetkit.cli import main
from unetkit.errors import ConfigError, DataError
from unetkit.viewing import browser as browser_module
from unetkit.viewing.view import View

pytest.importorskip("neuroglancer")

RNG = np.random.default_rng(0)


def get(shown: View, path: str) -> tuple[int, bytes]:
    """Return status and body of what the server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", shown.port, timeout=20)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def pixels_path(shown: View) -> str:
    return f"/pixels/{shown.url.split('/')[-2]}"


def fetch(shown: View, layer: int) -> zarr.Group:
    """Return a layer as the library of Zarr reads what the server sends."""
    base = f"{pixels_path(shown)}/{layer}"
    store = MemoryStore()

    def keep(name: str) -> Any:
        status, body = get(shown, f"{base}/{name}")
        assert status == 200, name
        asyncio.run(store.set(name, default_buffer_prototype().buffer.from_bytes(body)))
        return body

    attributes = json.loads(keep(".zattrs"))
    asyncio.run(store.set(".zgroup", default_buffer_prototype().buffer.from_bytes(b'{"zarr_format": 2}')))
    for dataset in attributes["multiscales"][0]["datasets"]:
        array = json.loads(keep(f"{dataset['path']}/.zarray"))
        counts = [-(-length // chunk) for length, chunk in zip(array["shape"], array["chunks"], strict=True)]
        for place in np.ndindex(*counts):
            keep(f"{dataset['path']}/{'/'.join(map(str, place))}")
    return zarr.open_group(store, mode="r", zarr_format=2)


def test_what_is_served_is_an_ome_zarr_that_the_library_of_zarr_reads() -> None:
    image = RNG.integers(0, 999, (3, 700, 600), np.uint16)
    labels = RNG.integers(0, 2**32, (3, 700, 600), np.uint32)
    with unetkit.view(image, labels) as shown:
        served, over = fetch(shown, 0), fetch(shown, 1)
    np.testing.assert_array_equal(served["0"][:], image)
    assert served["1"].shape == (3, 350, 300)
    np.testing.assert_array_equal(over["0"][:], labels)
    np.testing.assert_array_equal(over["1"][:], labels[:, ::2, ::2])


def test_colours_are_served_together_and_channels_apart(tmp_path: Path) -> None:
    colours = RNG.integers(0, 255, (300, 280, 3), np.uint8)
    tifffile.imwrite(tmp_path / "tissue.tif", colours, photometric="rgb")
    with unetkit.view(tmp_path / "tissue.tif") as shown:
        np.testing.assert_array_equal(fetch(shown, 0)["0"][:], colours.transpose(2, 0, 1))
    channels = RNG.integers(0, 999, (2, 300, 280), np.uint16)
    tifffile.imwrite(tmp_path / "cells.tif", channels, metadata={"axes": "CYX"}, imagej=True)
    with unetkit.view(tmp_path / "cells.tif") as shown:
        for i, channel in enumerate(channels):
            np.testing.assert_array_equal(fetch(shown, i)["0"][:], channel)


def test_sizes_are_those_of_the_image_also_for_labels_of_another_resolution(tmp_path: Path) -> None:
    for name, size, pixel in (("image", 1200, 0.5), ("labels", 600, 1.0)):
        resolution = (1e4 / pixel, 1e4 / pixel)
        pixels = np.full((size, size), 5, np.uint16)
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, resolution=resolution, resolutionunit="CENTIMETER")
    with unetkit.view(tmp_path / "image.tif", tmp_path / "labels.tif") as shown:
        described = [json.loads(get(shown, f"{pixels_path(shown)}/{i}/.zattrs")[1])["multiscales"][0] for i in (0, 1)]
    steps = [[one["coordinateTransformations"][0]["scale"] for one in each["datasets"]] for each in described]
    np.testing.assert_allclose(steps[0], [[0.5, 0.5], [1, 1], [2, 2]])
    np.testing.assert_allclose(steps[1], [[1, 1], [2, 2]])
    for each in described:
        assert [axis["unit"] for axis in each["axes"]] == ["micrometer"] * 2
        for one in each["datasets"]:  # the first pixels of all levels begin at one edge
            scale, translation = (part[part["type"]] for part in one["coordinateTransformations"])
            np.testing.assert_allclose(np.array(translation) - np.array(scale) / 2, 0, atol=1e-12)


def test_without_the_token_there_is_no_pixel_and_no_page() -> None:
    with unetkit.view(np.full((64, 64), 77, np.uint8)) as shown:
        token = shown.url.split("/")[-2]
        right = [
            f"/v/{token}/",
            f"/pixels/{token}/0/.zattrs",
            f"/pixels/{token}/0/0/.zarray",
            f"/pixels/{token}/0/0/0/0",
        ]
        for path in right:
            assert get(shown, path)[0] == 200
            status, body = get(shown, path.replace(token, token[::-1]))
            assert status == 404
            assert b"\x4d" * 64 not in body
        for path in (f"/events/{token[::-1]}?c=1", f"/pixels/{token}/1/.zattrs", f"/pixels/{token}/0/9/.zarray"):
            assert get(shown, path)[0] == 404
        for place in ("0/1", "7/0", "0/0/0", "0"):
            assert get(shown, f"/pixels/{token}/0/0/{place}")[0] == 404
    assert len(token) == 40


def test_it_listens_on_this_machine_alone() -> None:
    with unetkit.view(np.zeros((9, 9), np.uint8)) as shown:
        listening = Path("/proc/net/tcp")
        if not listening.exists():
            pytest.skip("needs Linux")
        ports = [line.split()[1:4] for line in listening.read_text().splitlines()[1:]]
        mine = [address for address, _, state in ports if state == "0A" and address.endswith(f":{shown.port:04X}")]
    assert mine == [f"0100007F:{shown.port:04X}"]


def test_pixels_are_compressed_over_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 5000 10.0.0.2 22")
    image = np.zeros((300, 300), np.uint32)
    with unetkit.view(image) as shown:
        status, body = get(shown, f"{pixels_path(shown)}/0/0/0/0")
    assert status == 200
    assert body[:2] == b"\x1f\x8b"
    assert len(body) < 256 * 256 * 4 / 50


class SlowArray:
    """An array of zeros that takes its time, and counts how often it is read."""

    shape = (8192, 8192)
    dtype = np.dtype(np.uint8)

    def __init__(self) -> None:
        self.reads = 0

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[np.uint8]:
        self.reads += 1
        sleep(0.02)
        return np.zeros([part.stop - part.start for part in index], np.uint8)


def ask(shown: View, path: str) -> socket.socket:
    """Send a request and do not wait for the answer."""
    asking = socket.create_connection(("127.0.0.1", shown.port))
    asking.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    sleep(0.15)
    return asking


def test_what_nobody_waits_for_is_not_read_any_more() -> None:
    array = SlowArray()
    with unetkit.view(array) as shown:
        opened = array.reads
        ask(shown, f"{pixels_path(shown)}/0/4/0/0").close()  # made of 16 parts of the array
        sleep(0.2)
        at_once = array.reads
        sleep(0.3)
        assert opened < at_once < opened + 14
        assert array.reads == at_once


def test_it_ends_although_much_is_under_way() -> None:
    array = SlowArray()
    shown = unetkit.view(array)
    opened = array.reads
    waiting = [ask(shown, f"{pixels_path(shown)}/0/4/{place}") for place in ("0/0", "1/0", "0/1", "1/1")]
    started = monotonic()
    shown.close()
    assert monotonic() - started < 1
    assert array.reads < opened + 60
    for one in waiting:
        one.close()


def test_two_are_shown_at_a_time() -> None:
    with unetkit.view(np.full((9, 9), 1, np.uint8)) as one, unetkit.view(np.full((9, 9), 2, np.uint8)) as two:
        assert [get(each, f"{pixels_path(each)}/0/0/0/0")[1][0] for each in (one, two)] == [1, 2]
        assert get(two, pixels_path(one) + "/0/0/0/0")[0] == 404
        assert (repr(one), one._repr_html_()) == (one.url, f'<a href="{one.url}" target="_blank">{one.url}</a>')


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Write cut.tif, and give what cuts it off after 40 %. Tiles 4/* and */4 are not looked at when it is opened."""
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, RNG.integers(1, 255, (2304, 2304), np.uint8), tile=(256, 256), compression="zlib")
    with path.open("r+b") as file:
        yield lambda: file.truncate(path.stat().st_size * 4 // 10) and None


@pytest.mark.parametrize(
    ("on_bad_tile", "says"), [("background", "some parts cannot be decoded"), ("stop", "cannot be decoded")]
)
def test_what_is_cut_off_while_it_is_looked_at_is_background_and_said_once(
    on_bad_tile: str, says: str, cut: Callable[[], None], tmp_path: Path
) -> None:
    said: list[str] = []
    with unetkit.view(tmp_path / "cut.tif", log=said.append, on_bad_tile=on_bad_tile) as shown:
        cut()
        for place, background in (("4/4", True), ("8/4", True), ("1/4", False)):
            status, body = get(shown, f"{pixels_path(shown)}/0/0/{place}")
            assert (status, len(body)) == (200, 256 * 256)
            assert (not any(body)) == background
        assert get(shown, shown.url.removeprefix(f"http://127.0.0.1:{shown.port}"))[0] == 200
    assert len(said) == 1
    assert "cut.tif" in said[0]
    assert says in said[0]


@pytest.mark.parametrize("chained", [False, True])
def test_files_that_do_not_fit_are_refused_before_anything_is_served(tmp_path: Path, chained: bool) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((60, 50), np.uint8))
    tifffile.imwrite(tmp_path / "labels.tif", np.zeros((50, 60), np.uint8))
    if chained:
        assert main(["view", str(tmp_path / "image.tif"), str(tmp_path / "labels.tif"), "--no-browser"]) == 2
    else:
        with pytest.raises(DataError, match=r"labels.tif has 50 x 60 pixels, but .*image.tif has 60 x 50 pixels"):
            unetkit.view(tmp_path / "image.tif", tmp_path / "labels.tif")


def test_a_region_is_shown_with_what_was_made_of_it(tmp_path: Path) -> None:
    image = RNG.integers(0, 255, (400, 400), np.uint8)
    labels = (image[100:300, 50:350] // 9).astype(np.uint16)
    tifffile.imwrite(tmp_path / "image.tif", image)
    with pytest.raises(DataError, match="--region"):
        unetkit.view(tmp_path / "image.tif", labels)
    with unetkit.view(tmp_path / "image.tif", labels, region="100,50,200,300") as shown:
        np.testing.assert_array_equal(fetch(shown, 0)["0"][:], image[100:300, 50:350])
        np.testing.assert_array_equal(fetch(shown, 1)["0"][:], labels)


def test_a_port_that_is_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"The port {port} is in use\. Give another with --port"):
            unetkit.view(np.zeros((9, 9), np.uint8), port=port)
    with pytest.raises(ConfigError, match="There is no port 99999"):
        unetkit.view(np.zeros((9, 9), np.uint8), port=99_999)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neuroglancer", None)
    with pytest.raises(ConfigError, match=r"needs the package neuroglancer.*pip install unetkit\[view\]"):
        unetkit.view(np.zeros((9, 9), np.uint8))


def run_verb(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], list[str]]:
    """Run the command until it waits; return what was printed and what was opened."""
    opened: list[str] = []

    def open_it(url: str) -> bool:
        opened.append(url)
        return len(opened) < 2

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", open_it)
    monkeypatch.setattr(browser_module, "wait", stop)
    assert main(["view", *words]) == 0
    return capsys.readouterr().out.splitlines(), opened


@pytest.mark.parametrize(
    ("words", "environment", "opens", "says"),
    [
        ([], {"DISPLAY": ":0"}, True, None),
        (["--no-browser"], {"DISPLAY": ":0"}, False, None),
        ([], {}, False, "No browser was found here"),
        ([], {"SSH_CONNECTION": "1 2 3 4", "DISPLAY": ":0"}, False, "ssh -L {port}:127.0.0.1:{port} "),
    ],
)
def test_the_command_opens_a_browser_or_says_how(
    words: list[str],
    environment: dict[str, str],
    opens: bool,
    says: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((60, 50), np.uint8))
    printed, opened = run_verb([str(tmp_path / "image.tif"), *words], monkeypatch, capsys)
    url = printed[0].removeprefix("Open ")
    assert url.startswith("http://127.0.0.1:")
    assert opened == ([url] if opens else [])
    port = url.split(":")[2].partition("/")[0]
    assert (says is None) == (len(printed) == 2)
    assert says is None or any(line.strip().startswith(says.format(port=port)) for line in printed)


def test_a_browser_that_does_not_open_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    browser_module.show_address("http://127.0.0.1:1/v/x/", 1, said.append, browser=True)
    assert "No browser was found here" in said[1]


@pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_and_leaves_no_file(number: int, code: int, tmp_path: Path) -> None:
    image: NDArray[Any] = RNG.integers(0, 255, (2100, 2100), np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", image, tile=(256, 256))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = [sys.executable, "-m", "unetkit", "view", str(tmp_path / "image.tif"), "--no-browser"]
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        connection = http.client.HTTPConnection("127.0.0.1", int(url.split(":")[2].split("/")[0]), timeout=20)
        connection.request("GET", f"/pixels/{url.split('/')[-2]}/0/2/0/0")  # of a level that is kept in a file
        assert len(connection.getresponse().read()) == 256 * 256
        process.send_signal(number)
        assert process.wait(20) == code
    assert not list(scratch.iterdir())
