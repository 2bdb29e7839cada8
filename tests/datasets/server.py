"""A web server for tests whose paths say how it misbehaves."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Serves `content` below any path; the first word of the path tells how."""

    daemon_threads = True
    content = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hits: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.over = threading.Event()

    def url(self, manner: str) -> str:
        """Return a URL that is answered in that manner."""
        return f"http://127.0.0.1:{self.server_port}/{manner}/set.hdf5"

    def handle_error(self, *_: Any) -> None:
        """Say nothing when a client goes away."""


class Handler(BaseHTTPRequestHandler):
    """Answers in the manner that the path names."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        manner = self.path.split("/")[1]
        self.server.hits[manner] += 1
        self.server.agents.add(self.headers["User-Agent"])
        content = self.server.content
        if manner == "forbidden":
            self.send_error(403)
        elif manner == "missing":
            self.send_error(404)
        elif manner == "short":  # a whole answer of the wrong size
            self._send(content[:-10], len(content) - 10)
        elif manner == "brief":  # ends early, and never said how long it would be
            self._send(content[:-10], None)
        elif manner == "long":  # says nothing about its size
            self._send(content + bytes(100), None)
        elif manner == "other":  # the right size, other bytes
            self._send(content[:-1] + bytes([content[-1] ^ 1]), len(content))
        elif manner == "page":
            self._send(b"<html>please log in</html>", 26)
        elif manner == "cut":  # the connection breaks off
            self._send(content[: len(content) // 2], len(content))
        elif manner == "stall":  # the connection stays, but nothing comes
            self._send(content[: len(content) // 2], len(content))
            self.server.over.wait(20)
        elif manner == "slow":  # slow, but it comes
            self._send(b"", len(content))
            for first in range(0, len(content), len(content) // 10 + 1):
                time.sleep(0.02)
                self.wfile.write(content[first : first + len(content) // 10 + 1])
        else:
            self._send(content, len(content))

    def _send(self, body: bytes, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def running() -> Iterator[Server]:
    """Run a server until the end of the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
