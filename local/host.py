"""
The functions host: every function in one process, under the URLs that the Firebase SDK uses.

`POST /{project}/{region}/{function}` reaches the function through functions-framework, as in the cloud.
Beside them it serves the web pages, `/healthz`, `/metrics`, and receives what the Firestore emulator
tells about created documents.
"""

import argparse
import ipaddress
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import functions_framework.aio
import uvicorn
from functions_framework._function_registry import load_function_module
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from local.document_events import DocumentEvents
from local.pages import Pages
from local.ports import HOST
from shared.edge import metrics, registry

ROOT = Path(__file__).resolve().parent.parent

_TRIGGER_PREFIX = "/functions/projects/"
_PATH_PARTS = 5
"""``/{project}/{region}/{function}/{rest}`` split at its slashes."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where this host stands."""

    project: str
    region: str
    port: int


def load_functions(source: Path) -> ModuleType:
    """
    Run *source* (a ``main.py``) once, as functions-framework would for a single target.

    Afterwards the registry is complete.
    """
    loaded = load_function_module(str(source))
    module: ModuleType = loaded[0]
    loaded[1].loader.exec_module(module)
    module.load_all()
    return module


def function_apps(module: ModuleType, source: Path) -> dict[str, ASGIApp]:
    """Each registered function as functions-framework serves it."""
    create: Callable[..., ASGIApp] = functions_framework.aio.create_asgi_app_from_module
    return {name: create(name, str(source), None, module, None) for name in registry.deployments()}


class FunctionsHost:
    """Hands each request to the function that its path names; everything else is a page."""

    def __init__(
        self, place: Place, functions: Mapping[str, ASGIApp], pages: ASGIApp, config: Mapping[str, Any]
    ) -> None:
        self._place = place
        self._functions = functions
        self._by_path = {f"/{place.project}/{place.region}/{name}": app for name, app in functions.items()}
        self._events = DocumentEvents(functions)
        self._pages = pages
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._live(receive, send)
            return
        path: str = scope["path"]
        function = self._by_path.get(path)
        if function is not None:
            await function(_below(scope, "/"), receive, send)
        elif path.startswith(_TRIGGER_PREFIX):
            await self._events(scope, receive, send)
        else:
            await self._elsewhere(path, scope, receive, send)

    async def _elsewhere(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        parts = path.split("/", _PATH_PARTS - 1)
        longer = self._by_path.get("/".join(parts[: _PATH_PARTS - 1]))
        if longer is not None:
            await longer(_below(scope, "/" + parts[_PATH_PARTS - 1]), receive, send)
            return
        answer = self._own(path)
        if answer is not None:
            await answer(scope, receive, send)
        elif path.startswith(f"/{self._place.project}/"):
            await PlainTextResponse("There is no such function.\n", status_code=404)(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def _own(self, path: str) -> Response | None:
        if path == "/healthz":
            return JSONResponse({"status": "ok", "functions": len(self._functions)})
        if path == "/metrics":
            return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
        if path == "/__lectern/config.json" and all_local(os.environ):
            return JSONResponse(dict(self._config), headers={"cache-control": "no-store"})
        return None

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._events.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._events.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _below(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}


def all_local(environ: Mapping[str, str]) -> bool:
    """Whether each of the three services is an emulator on this machine: then there is nothing to protect."""
    names = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST")
    return all(_is_loopback(environ.get(name, "").rpartition(":")[0]) for name in names)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def serve(app: ASGIApp, port: int) -> None:
    """Listen on *port* until told to stop, on the loop and parser that functions-framework would choose."""
    config = uvicorn.Config(
        app,
        host=HOST,
        port=port,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run()


def main() -> None:
    """Serve the functions of a main.py; the emulators' addresses come from the environment."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--source", type=Path, default=ROOT / "main.py")
    parser.add_argument("--pages", type=Path, default=ROOT / "web" / "dist")
    parser.add_argument("--project", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--config", default="{}", help="what /__lectern/config.json says, as JSON")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "google.api_core", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    module = load_functions(arguments.source)
    config = json.loads(arguments.config)
    connect = [f"http://{config[key]}" for key in ("firestoreHost", "authHost") if key in config]
    connect += [config[key] for key in ("functionsOrigin",) if key in config]
    host = FunctionsHost(
        Place(project=arguments.project, region=arguments.region, port=arguments.port),
        function_apps(module, arguments.source),
        Pages(arguments.pages, connect=connect),
        config,
    )
    serve(host, arguments.port)


if __name__ == "__main__":
    main()
