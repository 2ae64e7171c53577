"""A minimal W&B server for tests that can become unreachable."""

import json
import re
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer(ThreadingHTTPServer):
    """Context manager of a server that records the data of a run until `vanish` is called.

    Attributes:
        url: Value of `WANDB_BASE_URL`.
        history: Received rows, in order.
        files: Contents of uploaded files by name.
    """

    daemon_threads = True
    request_queue_size = 128  # W&B sends many files at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.history: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.mode = "ok"
        self._released = threading.Event()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> "WandbServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        if self.mode != "closed":
            self._close()

    def vanish(self, how: str) -> None:
        """Become `closed` (connections are refused), `silent` (no response) or `failing` (status 503)."""
        self.mode = how
        if how == "closed":
            self._close()

    def wait_for_exit(self) -> None:
        """Block until the context manager exits."""
        self._released.wait()

    def _close(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):  # already closed
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: broken connections are expected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_HEAD(self) -> None:
        self._respond({})

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if not self.path.endswith("/file_stream"):
            self._respond({"data": self._data(body["query"], body.get("variables") or {})})
        elif self._respond({"limits": {}}):
            lines = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.history += [json.loads(line) for line in lines]

    def do_PUT(self) -> None:
        body = self._body()
        if self._respond({}):
            self.server.files[self.path.removeprefix("/upload/")] = body

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _respond(self, content: dict[str, Any]) -> bool:
        """Send a response; whether it was a success."""
        mode = self.server.mode
        if mode == "silent":
            self.server.wait_for_exit()
            self.close_connection = True
            return False
        text = json.dumps(content if mode == "ok" else {"error": "upstream"}).encode()
        self.send_response(200 if mode == "ok" else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        return mode == "ok"

    def _data(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Data of a query or mutation, by its name; empty for others."""
        match = re.search(r"(?:query|mutation) (\w+)", query)
        name = match[1] if match else ""
        entity = {"id": "1", "name": "tester"}
        if name == "UpsertBucket":
            project = {"id": "2", "name": variables["project"], "entity": entity}
            run = {"id": "3", "name": variables["name"], "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.server.url}/upload/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": "3", "uploadHeaders": [], "files": files}}
        if name == "NotifyScriptableRunAlert":
            return {"notifyScriptableRunAlert": {"success": True}}
        return {"ServerFeaturesQuery": {"serverInfo": {"features": []}}}.get(name, {})
