"""Headless Chromium driven over the WebDriver protocol, which is JSON over HTTP, so no package is needed."""

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # key of a reference to an element, a constant of the protocol


class Browser:
    """A window of a browser.

    Args:
        address: Address of the session.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def open(self, address: str) -> None:
        _call(f"{self.address}/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script, which may `return`, returns."""
        return _call(f"{self.address}/execute/sync", {"script": script, "args": arguments})

    def wait(self, expression: str, seconds: float = 60) -> Any:
        """Value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {expression}")):
            assert time.monotonic() < end, (
                f"{expression} is still not true: {self.run('return document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def find(self, selector: str) -> str:
        return str(_call(f"{self.address}/element", {"using": "css selector", "value": selector})[_ELEMENT])

    def click(self, selector: str) -> None:
        _call(f"{self.address}/element/{self.find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        _call(f"{self.address}/element/{self.find(selector)}/value", {"text": text})

    def drag(self, selector: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Drag from one offset to another, in pixels from the middle of an element."""
        origin = {_ELEMENT: self.find(selector)}
        pointer: list[dict[str, Any]] = [
            {"type": "pointerMove", "origin": origin, "x": start[0], "y": start[1]},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "origin": origin, "x": end[0], "y": end[1], "duration": 50},
            {"type": "pointerUp", "button": 0},
        ]
        _call(f"{self.address}/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": pointer}]})

    def hover(self, selector: str, place: tuple[int, int]) -> None:
        """Put the mouse at an offset in pixels from the middle of an element."""
        put = {"type": "pointerMove", "origin": {_ELEMENT: self.find(selector)}, "x": place[0], "y": place[1]}
        _call(f"{self.address}/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [put]}]})

    def resize(self, width: int, height: int) -> None:
        _call(f"{self.address}/window/rect", {"width": width, "height": height})

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(_call(f"{self.address}/screenshot", None)))

    def errors(self) -> list[str]:
        """Errors in the console since the last call."""
        return [each["message"] for each in _call(f"{self.address}/se/log", {"type": "browser"})]


@contextmanager
def browser(driver: str, downloads: Path) -> Iterator[Browser]:
    """A browser that saves its downloads in a folder; `driver` is the program chromedriver."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    options = {
        "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        "prefs": {"download.default_directory": str(downloads)},
    }
    wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
    try:
        _until_answered(lambda: _call(f"{address}/status", None))
        session = _call(f"{address}/session", {"capabilities": wanted})["sessionId"]
        try:
            yield Browser(f"{address}/session/{session}")
        finally:
            _call(f"{address}/session/{session}", None, "DELETE")
    finally:
        process.terminate()
        process.wait()


def _until_answered(call: Callable[[], Any]) -> None:
    for _ in range(200):
        try:
            call()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("chromedriver does not answer")


def _call(address: str, body: dict[str, Any] | None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from error
