"""The HTTP interface of the explorer, and its command."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.explorer.answers import ACTIONS
from gan_lab.explorer.server import MAX_REQUEST_BYTES, ExplorerServer
from gan_lab.explorer.session import open_session
from gan_lab.training.fit import fit
from tests.conftest import SMALL

JSON = {"Content-Type": "application/json"}

VIEW = json.dumps({"weights": "ema", "amounts": [0] * 8, "dropped": []})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explore") / "run"
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=16", f"run.dir={folder}"))
    return folder


@contextmanager
def serving(run: Path, seed: int = 0) -> Iterator[ExplorerServer]:
    with ExplorerServer("127.0.0.1", 0) as server:
        device = torch.device("cpu")
        server.session = open_session(run, "ema", None, None, "sefa", None, seed, device)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[ExplorerServer]:
    with serving(run) as server:
        yield server


def ask(
    server: ExplorerServer, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET" if body is None else "POST", path, body, headers or JSON)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response, text


@pytest.mark.parametrize("proxy", [None, "me-digits.hf.space"])
def test_a_proxy_is_let_in_by_its_name(proxy: str | None) -> None:
    """And it may show the page in a frame; without one, no name but localhost and no frame is allowed."""
    with ExplorerServer("127.0.0.1", 0, proxy) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        response, _ = ask(server, "/", headers={"Host": "me-digits.hf.space"})
        local, _ = ask(server, "/", headers={"Host": f"localhost:{server.server_port}"})
        other, _ = ask(server, "/", headers={"Host": "elsewhere.com"})
        server.shutdown()
    assert (response.status, local.status, other.status) == (403 if proxy is None else 200, 200, 403)
    frames = "'none'" if proxy is None else "https:"
    assert local.headers["Content-Security-Policy"].endswith(f"frame-ancestors {frames}")


def test_the_page_loads_nothing_from_elsewhere(server: ExplorerServer) -> None:
    response, text = ask(server, "/")
    assert response.status == 200 and text.startswith("<!doctype html>")
    assert "http://" not in text and "https://" not in text and "src=" not in text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/?__sign=abc", "/?"])
def test_a_query_in_the_address(server: ExplorerServer, path: str) -> None:
    """The hub shows the page of a private space with one."""
    assert ask(server, path)[0].status == 200


def test_head_has_no_content(server: ExplorerServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    for path, status in (("/", 200), ("/nothing", 404)):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert response.status == status and int(response.headers["Content-Length"]) > 0 and not response.read()
    connection.close()


def test_answers_are_those_of_the_functions(server: ExplorerServer) -> None:
    assert server.session is not None
    response, text = ask(server, "/api/facts", "{}")
    facts = json.loads(text)
    assert response.status == 200 and facts == ACTIONS["facts"](server.session, {})
    view = {"weights": "ema", "amounts": [0] * facts["directions"], "dropped": []}
    request = {"seed": 1, "count": 2, "view": view}
    _, text = ask(server, "/api/sample", json.dumps(request))
    assert json.loads(text) == ACTIONS["sample"](server.session, request)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "message"),
    [
        ("/etc/passwd", None, {}, 404, "no such page"),
        ("/../conf/train.yaml", None, {}, 404, "no such page"),
        ("/api/nothing", "{}", JSON, 404, "no such request"),
        ("/sample", "{}", JSON, 404, "no such request"),
        ("/api/sample", "{", JSON, 400, "not a mapping in JSON"),
        ("/api/sample", "[]", JSON, 400, "not a mapping in JSON"),
        ("/api/sample", "[" * 100_000, JSON, 400, "not a mapping in JSON"),
        ("/api/sample", "{}", JSON, 400, "view must be a mapping"),
        ("/api/sample", '{"view": {"weights": []}}', JSON, 400, "weights must be one of"),
        (
            "/api/sample",
            f'{{"view": {VIEW}, "count": 1, "seed": 0, "truncation": 1{400 * "0"}}}',
            JSON,
            400,
            "truncation must be a number",
        ),
        ("/api/sample", "{}", {"Content-Type": "text/plain"}, 415, "must be JSON"),
        ("/api/sample", "{}", JSON | {"Host": "elsewhere.example:7860"}, 403, "not one of the explorer's"),
        ("/", None, {"Host": "elsewhere.example"}, 403, "not one of the explorer's"),
        ("/api/sample", "{}", JSON | {"Content-Length": str(MAX_REQUEST_BYTES + 1)}, 413, "at most 10 MiB"),
        ("/api/sample", "{}", JSON | {"Content-Length": "-1"}, 411, "no length"),
    ],
)
def test_requests_that_are_refused(
    server: ExplorerServer, path: str, body: str | None, headers: dict[str, str], status: int, message: str
) -> None:
    response, text = ask(server, path, body, headers)
    assert response.status == status and message in json.loads(text)["error"]


def test_a_failure_is_an_answer(server: ExplorerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(session: Any, request: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setitem(ACTIONS, "show", fails)
    response, text = ask(server, "/api/show", "{}")
    assert response.status == 500 and "secret" not in text and "terminal" in json.loads(text)["error"]
    assert ask(server, "/")[0].status == 200


def test_two_explorers_at_once(server: ExplorerServer, run: Path) -> None:
    """Each answers from its own session, also while the other computes."""
    with serving(run, seed=5) as second:
        assert server.server_port != second.server_port
        with server.lock:
            _, theirs = ask(second, "/api/facts", "{}")
        _, ours = ask(server, "/api/facts", "{}")
    assert (json.loads(ours)["seed"], json.loads(theirs)["seed"]) == (0, 5)


def test_two_explorers_at_one_port(server: ExplorerServer, run: Path) -> None:
    with pytest.raises(UserError, match=rf"port={server.server_port} on host=127\.0\.0\.1 cannot be used: .*in use"):
        gan_lab.explore(run, port=server.server_port, minutes=0, device="cpu")


def test_an_address_of_another_machine(run: Path) -> None:
    with pytest.raises(UserError, match=r"host=192\.0\.2\.1 cannot be used"):
        gan_lab.explore(run, host="192.0.2.1", port=0, minutes=0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("port=70000", "port"),
        ("port=-1", "port"),
        ("minutes=-1", "minutes"),
        ("host=''", "host"),
        ("method=boundary", "method"),
        ("directions=nowhere.safetensors", "directions"),
        ("layer=99", "layer=99 is not allowed: choose one of"),
        ("space=w", "space=w needs a generator with styles"),
        ("run=nowhere", "nowhere"),
    ],
)
def test_values_that_are_refused(override: str, message: str, run: Path, command: Callable[..., Any]) -> None:
    first = [] if override.startswith("run=") else [f"run={run}"]
    outcome = command("explore", *first, "port=0", "minutes=0", "device=cpu", override)
    assert outcome.status == 2 and message in outcome.err and "Traceback" not in outcome.err


def test_the_address_is_printed_before_the_end(run: Path, command: Callable[..., Any]) -> None:
    outcome = command("explore", f"run={run}", "port=0", "minutes=0", "device=cpu", "method=sefa")
    assert outcome.status == 0 and "http://127.0.0.1:" in outcome.err and "has ended" in outcome.out
