"""A stand-in for a server of W&B, as far as a run asks it, which can vanish."""

import json
import re
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer(ThreadingHTTPServer):
    """Takes what a run sends, until it vanishes. A context manager.

    Attributes:
        url: What `WANDB_BASE_URL` has to be.
        history: The rows that have arrived, in the order of their lines.
        files: Name to content of what was uploaded.
    """

    daemon_threads = True
    request_queue_size = 128  # W&B sends many files at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.history: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.mood = "well"
        self._released = threading.Event()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> "WandbServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        if self.mood != "closed":
            self._close()

    def vanish(self, how: str) -> None:
        """From now on be `closed` (connections are refused), `silent` (accepted, never answered) or `failing` (status 503)."""
        self.mood = how
        if how == "closed":
            self._close()

    def wait_in_silence(self) -> None:
        """Until the test is over."""
        self._released.wait()

    def _close(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):  # closed by now
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_HEAD(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if not self.path.endswith("/file_stream"):
            self._answer({"data": self._data(body["query"], body.get("variables") or {})})
        elif self._answer({"limits": {}}):
            lines = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.history += [json.loads(line) for line in lines]

    def do_PUT(self) -> None:
        body = self._body()
        if self._answer({}):
            self.server.files[self.path.removeprefix("/upload/")] = body

    def log_message(self, *_: object) -> None:
        """Not on the screen."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: dict[str, Any]) -> bool:
        """Whether the mood was to answer well."""
        mood = self.server.mood
        if mood == "silent":
            self.server.wait_in_silence()
            self.close_connection = True
            return False
        text = json.dumps(content if mood == "well" else {"error": "upstream"}).encode()
        self.send_response(200 if mood == "well" else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        return mood == "well"

    def _data(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a query or mutation by its name is answered; nothing for what no run needs."""
        match = re.search(r"(?:query|mutation) (\w+)", query)
        name = match[1] if match else ""
        entity = {"id": "1", "name": "tester"}
        if name == "UpsertBucket":
            project = {"id": "2", "name": given["project"], "entity": entity}
            run = {"id": "3", "name": given["name"], "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.server.url}/upload/{file}"} for file in given["files"]]
            return {"createRunFiles": {"runID": "3", "uploadHeaders": [], "files": files}}
        if name == "NotifyScriptableRunAlert":
            return {"notifyScriptableRunAlert": {"success": True}}
        return {"ServerFeaturesQuery": {"serverInfo": {"features": []}}}.get(name, {})
