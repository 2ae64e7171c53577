"""A stand-in for a server of W&B, as far as a run asks it, which can vanish."""

import json
import re
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "tester"


class WandbServer(ThreadingHTTPServer):
    """Takes what a run of one project sends, until it vanishes. A context manager.

    Attributes:
        url: What `WANDB_BASE_URL` has to be.
        history: The rows that have arrived, in the order of their lines.
        files: Name to content of what was uploaded.
        asked: How often each GraphQL operation was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.history: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
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
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed by now
                pass

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
        if self.path.endswith("/file_stream"):
            lines = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            if self._answer({"limits": {}}):
                self.server.history += [json.loads(line) for line in lines]
        else:
            self._answer({"data": self._data(body["query"], body.get("variables") or {})})

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

    def _data(self, query: str, given: dict[str, Any]) -> dict[str, Any] | None:
        match = re.search(r"(?:query|mutation) (\w+)", query)
        name = match[1] if match else query
        self.server.asked[name] += 1
        if name == "Viewer":
            return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": {"edges": []}}}
        if name == "UpsertBucket":
            entity = {"id": "2", "name": ENTITY}
            project = {"id": "3", "name": given.get("project"), "entity": entity}
            run = {"id": "4", "name": given.get("name"), "displayName": given.get("displayName"), "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.server.url}/upload/{file}"} for file in given["files"]]
            return {"createRunFiles": {"runID": "4", "uploadHeaders": [], "files": files}}
        return {"ServerFeaturesQuery": {"serverInfo": {"features": []}}, "NotifyScriptableRunAlert": {"notifyScriptableRunAlert": {"success": True}}, "MarkRunFilesUploaded": {"markRunFilesUploaded": {"success": True}}}.get(name)
