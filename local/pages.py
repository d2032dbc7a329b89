"""Serves the built web pages as Firebase Hosting would, headers included."""

import mimetypes
import re
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("application/json", ".map")

_HASHED_NAME = re.compile(r"-[0-9A-Z]{8}\.")
"""``app-4F7KQ2ZD.js``: esbuild's names for files whose content never changes."""

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Lectern</title>
<p>The functions are running, but the web page has not been built: <code>web/dist</code> is missing.</p>
"""


class Pages:
    """
    The files below *folder*, with a Content-Security-Policy that allows calls to *connect* besides here.

    A file whose name carries a hash of its content is cached for good, any other is asked for each time.
    """

    def __init__(self, folder: Path, *, connect: Sequence[str] = ()) -> None:
        self._folder = folder
        self._files = StaticFiles(directory=folder, html=True, check_dir=False)
        policy = {
            "default-src": ["'self'"],
            "connect-src": ["'self'", *connect],
            "img-src": ["'self'", "data:"],
            "object-src": ["'none'"],
            "base-uri": ["'none'"],
            "form-action": ["'self'"],
            "frame-ancestors": ["'none'"],
        }
        self._headers = {
            "content-security-policy": "; ".join(
                " ".join([name, *values]) for name, values in policy.items()
            ),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file."""
        path: str = scope["path"]
        lasting = bool(_HASHED_NAME.search(path))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                found = message["status"] < HTTPStatus.BAD_REQUEST
                headers["cache-control"] = (
                    "public, max-age=31536000, immutable" if lasting and found else "no-cache"
                )
            await send(message)

        if path == "/" and not (self._folder / "index.html").is_file():
            await HTMLResponse(_NOT_BUILT, status_code=503)(scope, receive, send_with_headers)
            return
        try:
            await self._files(scope, receive, send_with_headers)
        except HTTPException as error:
            reason = PlainTextResponse(
                f"{error.detail}\n", status_code=error.status_code, headers=error.headers
            )
            await reason(scope, receive, send_with_headers)
