"""
A bucket of Cloud Storage for tests: the few requests of its JSON API that the archive makes, with state.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 7
"""So few names a page that listing has to turn pages."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.objects: dict[str, bytes] = {}
        self.refused = 0
        """The status with which everything is refused; 0: nothing is."""


class _Requests(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_refused():
            return
        # multipart/related: what it is called, then what it is.
        head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        said, content = BytesParser().parsebytes(head + body).get_payload()
        name = json.loads(said.get_payload())["name"]
        if self._asked().get("ifGenerationMatch") == "0" and name in self.server.objects:
            self._reply(412, {"error": {"code": 412, "message": "conditionNotMet"}})
            return
        self.server.objects[name] = content.get_payload(decode=True)
        self._reply(200, {"name": name, "generation": "1"})

    def do_GET(self) -> None:
        if self._is_refused():
            return
        if urlsplit(self.path).path.endswith("/o"):
            self._list()
            return
        content = self.server.objects.get(self._name())
        if content is None:
            self._missing()
        else:
            self._reply(200, content)

    def do_DELETE(self) -> None:
        if self._is_refused():
            return
        if self.server.objects.pop(self._name(), None) is None:
            self._missing()
        else:
            self._reply(204, b"")

    def _list(self) -> None:
        asked = self._asked()
        names = sorted(name for name in self.server.objects if name.startswith(asked.get("prefix", "")))
        begin = int(asked.get("pageToken", "0"))
        reply: dict[str, object] = {"items": [{"name": name} for name in names[begin : begin + PAGE]]}
        if begin + PAGE < len(names):
            reply["nextPageToken"] = str(begin + PAGE)
        self._reply(200, reply)

    def _asked(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path.rpartition("/o/")[2])

    def _is_refused(self) -> bool:
        if self.server.refused:
            self._reply(self.server.refused, {"error": {"code": self.server.refused, "message": "no"}})
        return bool(self.server.refused)

    def _missing(self) -> None:
        self._reply(404, {"error": {"code": 404, "message": "No such object"}})

    def _reply(self, status: int, body: object) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def cloud_storage() -> Iterator[_Server]:
    """Serve one bucket, whatever it is called; clients find it by ``STORAGE_EMULATOR_HOST``."""
    server = _Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
