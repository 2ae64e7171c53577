"""A stand-in for the Hugging Face hub: repositories in memory behind the addresses that its client asks for."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TOKEN = "hf_right"


@dataclass
class Repository:
    """Files of a repository by commit; the last commit is `main`."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """Those of the last commit."""
        return [*self.commits.values()][-1]

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit with these files and those of the one before; returns its name."""
        name = hashlib.sha1(str(len(self.commits)).encode()).hexdigest()
        self.commits[name] = {**(self.files if self.commits else {}), **files}
        return name


class HubServer(ThreadingHTTPServer):
    """Repositories by name, for the account `me`; requests are recorded as `GET /path`, messages of commits as text."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.messages: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, body: bytes = b"") -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", TOKEN):
            return self.reply(
                401, {"error": "Invalid credentials"}, message="Invalid credentials in Authorization header"
            )
        for pattern, method in {
            r"/": self.front, r"/api/repos/create": self.create, r"/api/validate-yaml": self.validate,
            r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>.+))?": self.info,
            r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<revision>.+)": self.preupload,
            r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<revision>.+)": self.commit,
            r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)": self.resolve,
        }.items():  # fmt: skip
            if found := re.fullmatch(pattern, path):
                return method(body, token, **found.groupdict())
        return self.reply(404, {"error": "no such address"})

    def front(self, body: bytes, token: str) -> None:
        self.reply(200, {})

    def validate(self, body: bytes, token: str) -> None:
        self.reply(200, {"errors": [], "warnings": []})

    def create(self, body: bytes, token: str) -> None:
        given = json.loads(body)
        name = f"{given.get('organization') or 'me'}/{given['name']}"
        if not token:
            return self.reply(401, {"error": "no token"}, message="Invalid username or password.")
        if not name.startswith("me/"):
            return self.reply(403, {"error": f"no rights to create under {name}"})
        if name in self.server.repositories:
            return self.reply(409, {"error": "it exists", "url": f"{self.server.address}/{name}"})
        self.server.repositories[name] = Repository(
            given.get("private") is True or given.get("visibility") == "private"
        )
        self.server.repositories[name].commit({".gitattributes": b""})
        return self.reply(200, {"url": f"{self.server.address}/{name}"})

    def found(self, repo: str, token: str) -> Repository | None:
        repository = self.server.repositories.get(repo)
        if repository is None or (repository.private and not token):
            self.reply(401 if not token else 404, {"error": "Repository not found"}, "RepoNotFound")
            return None
        return repository

    def info(self, body: bytes, token: str, repo: str, revision: str | None) -> None:
        if (repository := self.found(repo, token)) is not None:
            siblings = [{"rfilename": name, "size": len(content)} for name, content in repository.files.items()]
            self.reply(200, {"id": repo, "sha": [*repository.commits][-1], "private": repository.private, "tags": [],
                             "siblings": siblings})  # fmt: skip

    def preupload(self, body: bytes, token: str, repo: str, revision: str) -> None:
        if self.found(repo, token) is not None:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for path in files]
            self.reply(200, {"files": modes})

    def commit(self, body: bytes, token: str, repo: str, revision: str) -> None:
        if (repository := self.found(repo, token)) is None:
            return
        if not repo.startswith("me/"):
            return self.reply(403, {"error": "no rights to write"})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {line["value"]["path"]: base64.b64decode(line["value"]["content"])
                 for line in lines if line["key"] == "file"}  # fmt: skip
        name = repository.commit(files)
        self.server.messages += [line["value"]["summary"] for line in lines if line["key"] == "header"]
        return self.reply(200, {"commitUrl": f"{self.server.address}/{repo}/commit/{name}", "commitOid": name})

    def resolve(self, body: bytes, token: str, repo: str, revision: str, file: str) -> None:
        if (repository := self.found(repo, token)) is None:
            return
        name = [*repository.commits][-1] if revision == "main" else revision
        if name not in repository.commits:
            return self.reply(404, {"error": "Invalid rev id"}, "RevisionNotFound")
        if file not in repository.commits[name]:
            return self.reply(404, {"error": "Entry not found"}, "EntryNotFound", commit=name)
        return self.reply(200, repository.commits[name][file], commit=name)

    def reply(self, status: int, content: Any, code: str = "", message: str = "", commit: str = "") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        given = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data)),
                   "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}  # fmt: skip
        for name, value in (headers | {key: value for key, value in given.items() if value}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def hub_in_memory(cache: Path, patch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The client of the hub asks the stand-in within the block, with an empty cache and the token of `me`."""
    from huggingface_hub import constants

    with HubServer() as server:
        patch.setattr(constants, "ENDPOINT", server.address)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setenv("HF_TOKEN", TOKEN)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
