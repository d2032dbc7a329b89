"""A store that refuses us (rights withdrawn, billing off, a request that it will not have) is no caller's fault."""

from contextlib import asynccontextmanager

import grpc
import pytest

from shared.documents.base import Create, Find
from shared.documents.firestore import FirestoreDocuments
from shared.errors import LecternError, Rejected, Unavailable
from shared.ledger.dead_letters import DEAD_LETTERS
from tests.deployed import in_memory, push_body
from tests.deployed import replace as put_in_place

INSIDE = "projects/secret does not allow this"
OPERATIONS = {
    "get": lambda documents: documents.get(["things/a"]),
    "find": lambda documents: documents.find(Find("things")),
    "scan": lambda documents: documents.scan("things"),
    "count": lambda documents: documents.count("things"),
    "commit": lambda documents: documents.commit([Create("things/a", {})]),
    "create_each": lambda documents: documents.create_each([Create("things/a", {})]),
    "delete_each": lambda documents: documents.delete_each(["things/a"]),
}
COME_BACK = {
    grpc.StatusCode.PERMISSION_DENIED: 503,
    grpc.StatusCode.UNAUTHENTICATED: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.INVALID_ARGUMENT: 500,
}


class Refusing(grpc.GenericRpcHandler):
    """Ends every call with *code*."""

    def __init__(self, code):
        self._code = code

    def service(self, _call):
        async def end(_request, context):
            await context.abort(self._code, INSIDE)

        return grpc.unary_unary_rpc_method_handler(end)


@asynccontextmanager
async def refusing(code, folder):
    server = grpc.aio.server(handlers=[Refusing(code)])
    address = f"unix:{folder}/store"
    server.add_insecure_port(address)
    await server.start()
    documents = FirestoreDocuments(project="demo-x", database="(default)", emulator_host=address)
    yield documents
    await documents.close()
    await server.stop(None)


@pytest.mark.parametrize("code", COME_BACK, ids=lambda code: code.name)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_what_the_store_refuses_us_is_not_final(tmp_path, code, operation):
    async with refusing(code, tmp_path) as documents:
        with pytest.raises(LecternError) as failure:
            await operation(documents)
    assert code.name in failure.value.message
    assert not isinstance(failure.value, Rejected)
    assert isinstance(failure.value, Unavailable) == (COME_BACK[code] == 503)


async def submitted(app):
    """A request to submit an answer, which has been submitted once."""
    form = await app.imported("Two plus two? {=4}")
    answer = {
        "assignmentId": form["assignmentId"],
        "questionId": form["questions"][0]["questionId"],
        "answer": {"text": "4"},
    }
    await app.ok("submit_answer", answer, uid="somebody")
    return answer


async def pushed(app, message):
    return await app.post("merge_answers", push_body(message), {"authorization": "Bearer platform"})


@pytest.mark.parametrize("code", COME_BACK, ids=lambda code: code.name)
async def test_an_answer_is_to_be_sent_again_and_nothing_of_the_inside_is_told(tmp_path, code):
    async with refusing(code, tmp_path) as documents, in_memory() as app:
        answer = await submitted(app)
        put_in_place(app.services, documents=documents)
        for part in ("catalog", "pending_answers"):
            del app.services.__dict__[part]
        response = await app.call("submit_answer", answer, uid="somebody")
        assert response.status_code == COME_BACK[code]
        assert "Firestore" not in response.text
        assert INSIDE not in response.text


@pytest.mark.parametrize("code", COME_BACK, ids=lambda code: code.name)
async def test_a_message_that_met_a_refusal_comes_again(tmp_path, code):
    async with refusing(code, tmp_path) as documents, in_memory(gather_milliseconds=0) as app:
        await submitted(app)
        store = app.services.documents
        put_in_place(app.services, documents=documents)
        [message] = app.doorbell.messages
        assert (await pushed(app, message)).status_code == COME_BACK[code]
        assert await store.count(DEAD_LETTERS) == 0

        put_in_place(app.services, documents=store)
        for part in ("merger", "shards", "tombstones"):
            app.services.__dict__.pop(part, None)
        assert (await pushed(app, message)).status_code == 204
        assert await app.services.pending_answers.count() == 0
