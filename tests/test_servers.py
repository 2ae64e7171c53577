"""Whether a server responds."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import socket

import pytest

from gan_lab.servers import responds


@pytest.mark.parametrize("status", [200, 404, 501])
def test_any_status_is_a_response(status: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert responds(f"http://127.0.0.1:{server.server_port}", 10)
        thread.join()


def test_no_server_and_no_address_are_none() -> None:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not responds(f"http://127.0.0.1:{port}", 10)
    assert not responds("nothing", 10)


def test_a_silent_server_is_waited_for_no_longer_than_allowed() -> None:
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not responds(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2)
