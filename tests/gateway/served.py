"""The functions behind the real local host, listening, with in-memory services and a tutor of the test's own."""

import asyncio
import contextlib
from contextlib import asynccontextmanager
from pathlib import Path

import functions_framework.aio
import httpx
import uvicorn
from starlette.responses import PlainTextResponse

from local.host import FunctionsHost, Place
from shared import wiring
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.documents.memory import MemoryDocuments
from shared.identity.memory import MemoryIdentity
from shared.wiring import Services
from tests.deployed import Deployed, TableOfTokens, replace, settings_for_tests

ROOT = Path(__file__).parents[2]
PROJECT, REGION = "demo-gateway", "us-central1"
PLENTY = 10**12
NAMES = ("openai_proxy", "submit_answer", "create_course", "import_assignment", "get_assignment")
_apps = {}


class Served:
    """Functions that listen at ``url``."""

    def __init__(self, services, url):
        self.services = services
        self.url = url
        self.openai = f"{url}/openai_proxy/v1"
        limits = httpx.Limits(max_connections=200)
        self._client = httpx.AsyncClient(trust_env=False, timeout=30, limits=limits)
        self.app = Deployed(services, lambda uid, role="": f"{uid}/{role}" if role else uid)

    async def close(self):
        """End the client's connections."""
        await self._client.aclose()

    async def post(self, path, body, uid="ann", **headers):
        """Post JSON to a path beneath the functions."""
        return await self._client.post(
            f"{self.url}/{path}",
            json=body,
            headers={"authorization": f"Bearer {uid}", **headers},
        )

    async def chat(self, text="why?", uid="ann", headers=None, **more):
        """A chat completion through the proxy."""
        body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": text}], **more}
        return await self.post("openai_proxy/v1/chat/completions", body, uid, **(headers or {}))

    async def figures(self, uid="ann"):
        """What somebody has spent today."""
        [day] = await self.services.budgets.spent("learner", uid)
        return day


@asynccontextmanager
async def served(tutor, *, ceilings=None, documents=None, **settings):
    """Serve with these settings; rates are wide unless said otherwise."""
    wide = {"rate_ai_points": 100_000, "rate_shared_ip_points": 100_000}
    settings = {"openai_base_url": tutor.url if tutor else "https://api.openai.com/v1", **wide, **settings}
    services = Services(settings_for_tests(**settings))
    names = ("learner_day", "class_day", "course_day", "tenant_day", "tenant_month")
    money = MemoryBudgets(Ceilings(**{**dict.fromkeys(names, PLENTY), **(ceilings or {})}), now=services.now)
    identity = MemoryIdentity(TableOfTokens())
    replace(services, documents=documents or MemoryDocuments(), identity=identity, budgets=money)
    for name in NAMES:
        if name not in _apps:
            _apps[name] = functions_framework.aio.create_asgi_app(name, str(ROOT / "main.py"))
    place = Place(project=PROJECT, region=REGION, port=0)
    host = FunctionsHost(place, _apps, PlainTextResponse("no page", status_code=404), {})
    config = uvicorn.Config(
        host, host="127.0.0.1", port=0, lifespan="off", ws="none", access_log=False, log_level="error"
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    with wiring.using(services):
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  uvicorn has only this flag
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            made = Served(services, f"http://127.0.0.1:{port}/{PROJECT}/{REGION}")
            replace(services, answers_waiting=made.app.doorbell)
            yield made
        finally:
            await made.close()
            server.should_exit = server.force_exit = True
            await task
            await services.close()
