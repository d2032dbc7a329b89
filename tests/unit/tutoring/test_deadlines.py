"""A model is given what is left of its caller's time, whatever went before."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from shared.edge.endpoint import Call
from shared.gateway.base import MARGIN_SECONDS
from shared.identity.principal import Principal
from tests.tutoring import ANSWER

ANN = Principal(uid="ann", role=None, signed_in_at=datetime(2026, 1, 1, tzinfo=UTC))
CALLS = {
    "chat": (lambda lesson: lesson.about("Capital"), {"uid": "ann"}, "functions.tutor.CHAT_SECONDS"),
    "evaluate_answer": (
        lambda lesson: lesson.about("Sky"),
        {"uid": "ann"},
        "functions.evaluations.EVALUATE_SECONDS",
    ),
    "generate_skeleton": (
        lambda lesson: {"courseId": lesson.course_id, "topic": "Optics"},
        {"uid": "teacher", "role": "teacher"},
        "functions.lessons.SKELETON_SECONDS",
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_what_came_before_the_model_is_not_given_to_it_again(name, lesson, gateway, monkeypatch):
    request, caller, constant = CALLS[name]
    await lesson.answers("Sky", {"text": ANSWER})
    catalog, asked = lesson.app.services.catalog, gateway()
    class_of = catalog.class_of

    async def slow(*arguments):
        await asyncio.sleep(0.3)
        return await class_of(*arguments)

    monkeypatch.setattr(catalog, "class_of", slow)
    monkeypatch.setattr(constant, 2.0)
    await lesson.app.call(name, request(lesson), **caller)
    [ask] = asked.asks
    assert 0.2 < ask.deadline_seconds <= 2.0 - MARGIN_SECONDS - 0.3


def test_a_moment_at_least_is_left():
    now = datetime.now(UTC)
    call = Call(ANN, None, now, "id", time.perf_counter() - 5)
    assert call.left_of(5) == call.left_of(1) == 0.1
    assert 4.5 < call.left_of(10) <= 5
