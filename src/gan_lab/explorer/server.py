"""HTTP server of the explorer: one page, and answers in JSON. It reads no file that a request names.

A page of another site could send requests to a server of this machine: only JSON is accepted, which browsers send to
another site with its permission only, and only under names that cannot be bent to this machine.
"""

import ipaddress
import json
import logging
import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gan_lab.errors import ConfigError, UserError
from gan_lab.explorer.answers import ACTIONS, MAX_UPLOAD_BYTES
from gan_lab.explorer.session import Session
from gan_lab.pages.rendering import page_text

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 4 * MAX_UPLOAD_BYTES // 3 + 2**20
"""An upload in base64 with its request."""

_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class ExplorerServer(ThreadingHTTPServer):
    """Server that listens at once, and answers when it has a session.

    Args:
        host: Address to listen on.
        port: Port; 0 for any free one.
        proxy: Name under which a proxy serves the page to others, which may show it in a frame; None without one.

    Raises:
        ConfigError: The address cannot be used, or the port is in use.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, proxy: str | None = None) -> None:
        self.host = host
        self.proxy = proxy
        self.session: Session | None = None
        self.lock = threading.Lock()
        """Held by the request that computes: more than one at a time would only slow each other down."""
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except socket.gaierror as error:
            raise ConfigError(f"host={host} is not an address of this machine; leave it out for 127.0.0.1.") from error
        except (OSError, UnicodeError) as error:
            reason = str(getattr(error, "strerror", None) or error).lower()
            raise ConfigError(
                f"port={port} on host={host} cannot be used: {reason}; give another, or port=0 for a free one."
            ) from error

    @property
    def address(self) -> str:
        """Address of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def server_bind(self) -> None:
        """Bind without asking a name server for the machine's name, as `HTTPServer` does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closed its connection is not an error."""
        log.debug("A connection ended early.", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: ExplorerServer
    timeout = 60  # seconds without a byte of a request
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_addressed():
            self._send_error(HTTPStatus.FORBIDDEN, "This name is not one of the explorer's.")
        elif self.path.partition("?")[0] == "/":  # the hub adds a query to the address
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page_text("explorer.html", {}))
        else:
            self._send_error(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_HEAD(self) -> None:
        """What `do_GET` answers, without its content: proxies ask in this way whether the page is there."""
        self.do_GET()

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        action = ACTIONS.get(self.path.removeprefix("/api/")) if self.path.startswith("/api/") else None
        if action is None or self.server.session is None:
            self._send_error(HTTPStatus.NOT_FOUND, "There is no such request.")
            return
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError("not a mapping")
        except (ValueError, RecursionError):
            self._send_error(HTTPStatus.BAD_REQUEST, "The request is not a mapping in JSON.")
            return
        try:
            with self.server.lock:
                answer = action(self.server.session, request)
        except UserError as error:
            self._send_error(HTTPStatus.BAD_REQUEST, str(error))
        except Exception:
            log.exception("The explorer could not answer %s.", self.path)
            self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "The explorer failed; its terminal has the details.")
        else:
            self._send(HTTPStatus.OK, "application/json", json.dumps(answer))

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""

    def _body(self) -> bytes | None:
        """The body of a request; None if it was refused."""
        length = self.headers.get("Content-Length", "")
        refusal: tuple[HTTPStatus, str] | None = None
        if not self._is_addressed():
            refusal = HTTPStatus.FORBIDDEN, "This name is not one of the explorer's."
        elif self.headers.get_content_type() != "application/json":
            refusal = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Requests must be JSON."
        elif not (length.isascii() and length.isdigit()):
            refusal = HTTPStatus.LENGTH_REQUIRED, "The request has no length."
        elif int(length) > MAX_REQUEST_BYTES:
            limit = MAX_UPLOAD_BYTES >> 20
            refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Uploads have at most {limit} MiB; choose a smaller image."
        if refusal is None:
            return self.rfile.read(int(length))
        self.close_connection = True  # the body was not read
        self._send_error(*refusal)
        return None

    def _is_addressed(self) -> bool:
        """Whether the host of the request is an IP address, `localhost` or a configured name.

        A name of a foreign site may be bent to this machine (DNS rebinding), an address cannot.
        """
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host in ("localhost", self.server.host, self.server.proxy):
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True

    def _send_error(self, status: HTTPStatus, message: str) -> None:
        self._send(status, "application/json", json.dumps({"error": message}))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        frames = "'none'" if self.server.proxy is None else "https:"
        policy = {"Content-Security-Policy": f"{_POLICY}; frame-ancestors {frames}"}
        for name, value in (_HEADERS | policy | {"Content-Type": kind, "Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
