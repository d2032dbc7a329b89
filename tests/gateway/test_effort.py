"""Models that can reason do so as the deployment says, unless a client that may says otherwise."""

import orjson
import pytest

from shared.errors import InvalidRequest, NotAllowed
from shared.gateway.allowed import CHAT, RESPONSES, Allowance, passing, reasons
from shared.settings import Settings
from tests.gateway.test_gateway import ask, budgets, gateway

MODELS = ("gpt-6-luna", "plain")
STUDENT = Allowance(MODELS, ("embedding",), 100, tools=False, effort="none")
TEACHER = STUDENT._replace(tools=True)
MESSAGES = [{"role": "user", "content": "why?"}]


def sent(path, body, allowance):
    return orjson.loads(passing(path, orjson.dumps(body), allowance).body)


def test_which_models_reason_is_known_by_their_names():
    for name in (
        "gpt-5",
        "gpt-5.4-mini",
        "gpt-6-luna",
        "gpt-6.1-terra-2026-10-26",
        "gpt-10",
        "o1",
        "o4-mini",
    ):
        assert reasons(name)
    for name in ("gpt-4.1", "gpt-4o-mini", "canned", "llama-5", "omni", "text-embedding-3-small"):
        assert not reasons(name)


def test_the_deployments_effort_goes_with_every_request_of_a_model_that_reasons():
    assert sent(CHAT, {"model": "gpt-6-luna", "messages": MESSAGES}, STUDENT)["reasoning_effort"] == "none"
    assert sent(RESPONSES, {"model": "gpt-6-luna", "input": "why?"}, STUDENT)["reasoning"] == {
        "effort": "none"
    }


def test_other_models_and_other_deployments_hear_nothing_of_it():
    assert "reasoning_effort" not in sent(CHAT, {"model": "plain", "messages": MESSAGES}, STUDENT)
    assert "reasoning" not in sent(RESPONSES, {"model": "plain", "input": "why?"}, STUDENT)
    silent = STUDENT._replace(effort="")
    assert "reasoning_effort" not in sent(CHAT, {"model": "gpt-6-luna", "messages": MESSAGES}, silent)
    assert "reasoning" not in sent(RESPONSES, {"model": "gpt-6-luna", "input": "why?"}, silent)


def test_teachers_may_say_otherwise_and_students_may_not():
    chat = {"model": "gpt-6-luna", "messages": MESSAGES, "reasoning_effort": "high"}
    assert sent(CHAT, chat, TEACHER)["reasoning_effort"] == "high"
    response = {"model": "gpt-6-luna", "input": "why?", "reasoning": {"effort": "high", "summary": "auto"}}
    assert sent(RESPONSES, response, TEACHER)["reasoning"] == {"effort": "high", "summary": "auto"}
    summary = {"model": "gpt-6-luna", "input": "why?", "reasoning": {"summary": "auto"}}
    assert sent(RESPONSES, summary, TEACHER)["reasoning"] == {"effort": "none", "summary": "auto"}
    for path, body in ((CHAT, chat), (RESPONSES, response)):
        with pytest.raises(NotAllowed):
            sent(path, body, STUDENT)


@pytest.mark.parametrize("reasoning", [{"mode": "pro"}, {"effort": 3}, {"effort": {}}, "high", [], 1])
def test_a_mode_of_reasoning_that_may_have_a_price_of_its_own_is_refused(reasoning):
    with pytest.raises(InvalidRequest):
        sent(RESPONSES, {"model": "gpt-6-luna", "input": "why?", "reasoning": reasoning}, TEACHER)


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gpt-6-luna", "none", {"reasoning_effort": "none", "temperature": 0.0}),
        ("gpt-6-luna", "low", {"reasoning_effort": "low"}),
        ("gpt-6-luna", "", {}),
        ("canned", "none", {"temperature": 0.0}),
        ("canned", "low", {"temperature": 0.0}),
    ],
)
async def test_tasks_ask_with_the_deployments_effort(model, effort, expected):
    asked = gateway(Settings(reasoning_effort=effort, small_model=model), budgets())
    body = orjson.loads(asked.quote(ask()).body)
    assert {name: body[name] for name in ("reasoning_effort", "temperature") if name in body} == expected
