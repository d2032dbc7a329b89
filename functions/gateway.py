"""The OpenAI-compatible door: any OpenAI client may point its base URL here, with an ID token as its key."""

import orjson
from pydantic import TypeAdapter, ValidationError

from shared.budgets.base import Payer
from shared.catalog.base import CourseRole
from shared.catalog.payers import payer_in
from shared.edge.passthrough import PassedCall, PassedReply, pass_through
from shared.edge.registry import Capacity, Passed, PassedHeader, RateClass
from shared.errors import InvalidRequest, NotFound
from shared.gateway.allowed import CHAT, EMBEDDINGS, RESPONSES, Allowance, passing
from shared.gateway.build import allowance
from shared.learning.facts import DocumentId

_ID: TypeAdapter[str] = TypeAdapter(DocumentId)
_MODELS = "/models"
_PREFIX = "/v1"
_EVENTS = b"text/event-stream; charset=utf-8"


@pass_through(
    Passed(method="POST", path="/v1/chat/completions", summary="Continue a conversation."),
    Passed(method="POST", path="/v1/responses", summary="Answer an input."),
    Passed(method="POST", path="/v1/embeddings", summary="Turn texts into vectors."),
    Passed(method="GET", path="/v1/models", summary="List the models that the caller may name."),
    headers=(
        PassedHeader(
            name="X-Lectern-Course",
            summary="A course of the caller's that pays too: its ceiling applies, and it counts the call.",
            value_type=DocumentId,
        ),
        PassedHeader(
            name="Cache-Control",
            summary="`no-cache` asks for a reply that nobody got before.",
            value_type=str,
        ),
    ),
    deadline_seconds=120,
    rate=RateClass.AI,
    capacity=Capacity(concurrency=200),
)
async def openai_proxy(call: PassedCall) -> PassedReply:
    """Pass OpenAI's interface through, for any client of it, within limits and budgets."""
    path = call.path.removeprefix(_PREFIX)
    allowed = allowance(call.services.settings, teacher=call.principal.is_teacher)
    if call.method == "GET":
        return _models(path, allowed)
    if path not in {CHAT, RESPONSES, EMBEDDINGS}:
        raise NotFound(_NO_SUCH_PATH)
    request = passing(path, call.body, allowed)
    payer = await _payer(call)
    fresh = call.headers.get(b"cache-control", b"").lower() == b"no-cache"
    fault = _fault(call) if b"x-tutor-fault" in call.headers else ""
    proxy = call.services.proxy
    if not request.stream:
        body = await proxy.whole(request, payer, fresh=fresh, fault=fault)
        return PassedReply(body=body)
    passed = await proxy.stream(request, payer, fresh=fresh, fault=fault)
    return PassedReply(media_type=_EVENTS, body=passed)


def _fault(call: PassedCall) -> str:
    """How the built-in tutor is asked to fail, if it is there; nobody else is asked that."""
    if not call.services.settings.built_in_tutor:
        return ""
    fault = call.headers[b"x-tutor-fault"].decode("latin-1")
    if "\r" in fault or "\n" in fault:
        raise InvalidRequest(_NO_SUCH_PATH)
    return fault


async def _payer(call: PassedCall) -> Payer:
    """
    The caller, and the course that they name to pay, if any: its ceiling applies then, and their class'.

    Raises:
        InvalidRequest: it is no id.
        NotFound: there is none, or the caller has no part in it.
    """
    named = call.headers.get(b"x-lectern-course", b"")
    if not named:
        return Payer(call.principal.uid)
    try:
        course_id = _ID.validate_python(named.decode("latin-1"))
    except ValidationError:
        raise InvalidRequest("X-Lectern-Course is not the id of a course") from None
    catalog = call.services.catalog
    await catalog.course(call.principal, course_id, at_least=CourseRole.STUDENT)
    return await payer_in(catalog, call.principal, course_id)


def _models(path: str, allowed: Allowance) -> PassedReply:
    names = [*allowed.models, *allowed.embedding_models]
    models = {name: {"id": name, "object": "model", "created": 0, "owned_by": "lectern"} for name in names}
    if path == _MODELS:
        return PassedReply(body=orjson.dumps({"object": "list", "data": list(models.values())}))
    model = models.get(path.removeprefix(f"{_MODELS}/"))
    if not path.startswith(f"{_MODELS}/") or model is None:
        raise NotFound(_NO_SUCH_PATH)
    return PassedReply(body=orjson.dumps(model))


_NO_SUCH_PATH = "there is nothing at this path"
