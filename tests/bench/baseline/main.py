"""The baseline: what one would write first. One AsyncClient per process, one ``create()`` per request."""

import uuid

import functions_framework.aio
from google.cloud import firestore
from starlette.requests import Request
from starlette.responses import JSONResponse

_clients: list[firestore.AsyncClient] = []


@functions_framework.aio.http
async def create_answer(request: Request) -> JSONResponse:
    """Store the body as a document of its own."""
    if not _clients:
        _clients.append(firestore.AsyncClient())
    body = await request.json()
    name = uuid.uuid4().hex
    document = {**body, "studentId": "student", "submittedAt": firestore.SERVER_TIMESTAMP}
    await _clients[0].collection("baselineAnswers").document(name).create(document)
    return JSONResponse({"eventId": name}, status_code=202)
