"""OpenAI's own Python client against `openai_proxy`, over HTTP, through the local host."""

import asyncio

import httpx
import openai
import pytest

from local.tutor.server import CANARY
from tests.gateway.served import served

HELLO = [{"role": "user", "content": "Why is the sky blue?"}]
MODEL = "gpt-6-luna"
ANN, BEN, TESS, NOBODY = "ann", "ben", "tess/teacher", "bad"


@pytest.fixture
async def place(tutor):
    async with served(tutor) as place:
        yield place


@pytest.fixture
async def client(place):
    async with openai.AsyncOpenAI(base_url=place.openai, api_key=ANN, max_retries=0) as client:
        yield client


@pytest.fixture
async def teacher(place):
    async with openai.AsyncOpenAI(base_url=place.openai, api_key=TESS, max_retries=0) as client:
        yield client


async def test_a_completion_is_what_the_provider_said(client, tutor):
    reply = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert reply.choices[0].message.content.startswith("[Canned reply]")
    assert reply.usage.total_tokens > 0
    assert reply._request_id
    [(path, headers, body)] = tutor.requests
    assert path == "/v1/chat/completions"
    added = {"max_completion_tokens": 1024, "reasoning_effort": "none"}
    assert body == {"model": MODEL, "messages": HELLO, **added}
    assert "ann" not in str(headers)


async def test_a_stream_is_parsed_to_the_same_text(client, place):
    whole = await client.chat.completions.create(model=MODEL, messages=HELLO)
    stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    chunks = [each async for each in stream]
    assert all(each.choices for each in chunks), "usage was not asked for"
    text = "".join(each.choices[0].delta.content or "" for each in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    day = await place.figures()
    assert day.spent_nanos == 2 * (100 * whole.usage.prompt_tokens + 500 * whole.usage.completion_tokens)
    assert day.reserved_nanos == 0


async def test_a_stream_tells_its_usage_if_asked(client):
    stream = await client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [each async for each in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0


async def test_the_streaming_helpers_work(client):
    async with client.chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content.startswith("[Canned")


async def test_responses_embeddings_and_models(client, tutor):
    reply = await client.responses.create(model=MODEL, input="Why?")
    assert reply.output_text.startswith("[Canned reply]")
    assert tutor.requests[-1][2]["store"] is False
    stream = await client.responses.create(model=MODEL, input="Why?", stream=True)
    events = [each async for each in stream]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == reply.output_text
    vectors = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert [len(each.embedding) for each in vectors.data] == [1536, 1536]
    names = [each.id async for each in client.models.list()]
    assert names == [MODEL, "text-embedding-3-small"]
    assert (await client.models.retrieve(MODEL)).id == MODEL


async def test_structured_output_is_parsed(client):
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 3}},
        "required": ["score"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "score", "strict": True, "schema": schema}}
    reply = await client.chat.completions.create(model=MODEL, messages=HELLO, response_format=form)
    assert reply.choices[0].message.content in {f'{{"score":{n}}}' for n in range(4)}


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


async def test_tools_are_for_teachers(client, teacher, tutor):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await client.chat.completions.create(model=MODEL, messages=HELLO, tools=TOOLS)
    assert caught.value.body["param"] == "tools"
    assert tutor.total == 0
    await teacher.chat.completions.create(model=MODEL, messages=HELLO, tools=TOOLS)
    assert tutor.requests[-1][2]["tools"] == TOOLS


REFUSED = {
    "n": 2,
    "store": True,
    "metadata": {"a": "b"},
    "logit_bias": {"1": 2},
    "modalities": ["audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "service_tier": "priority",
    "user": "somebody",
    "safety_identifier": "x",
    "prompt_cache_key": "x",
    "web_search_options": {},
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "verbosity": "low",
    "max_tokens": 100_000,
    "max_completion_tokens": 100_000,
    "temperature": 7,
    "base_url": "https://evil.example/v1",
    "api_key": ANN,
    "uid": "ben",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_on_the_list_is_refused_and_not_dropped(client, tutor, name):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model=MODEL, messages=HELLO, extra_body={name: REFUSED[name]})
    assert caught.value.body["param"] == name
    assert tutor.total == 0


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}],
        [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}],
        [{"type": "file", "file": {"file_id": "file-1"}}],
        [{"type": "text", "text": "x", "cache_control": {}}],
        {"type": "text"},
        7,
    ],
)
async def test_nothing_is_sent_that_the_provider_would_fetch(client, tutor, content):
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert tutor.total == 0


async def test_a_model_that_is_not_the_callers_does_not_exist(client, teacher):
    for model in ("gpt-6.1-terra", "gpt-5-pro", "../models", ""):
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model=model, messages=HELLO)
    await teacher.chat.completions.create(model="gpt-6.1-terra", messages=HELLO)


async def test_who_is_not_signed_in_gets_an_authentication_error(place):
    async with openai.AsyncOpenAI(base_url=place.openai, api_key=NOBODY, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model=MODEL, messages=HELLO)
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_rate_limits_are_rate_limit_errors_with_retry_after(tutor):
    async with served(tutor, rate_ai_points=2) as place:
        async with openai.AsyncOpenAI(base_url=place.openai, api_key=ANN, max_retries=0) as client:
            for _ in range(2):
                await client.chat.completions.create(model=MODEL, messages=HELLO)
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model=MODEL, messages=HELLO)
        headers = caught.value.response.headers
        assert 1 <= int(headers["retry-after"]) <= 70
        assert headers["x-ratelimit-limit"] == "2"
        assert headers["x-ratelimit-remaining"] == "0"


async def test_money_that_is_spent_is_a_rate_limit_error(tutor):
    async with served(tutor, ceilings={"learner_day": 1000}) as place:
        async with openai.AsyncOpenAI(base_url=place.openai, api_key=ANN, max_retries=0) as client:
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model=MODEL, messages=HELLO)
            assert int(caught.value.response.headers["retry-after"]) >= 1
        assert tutor.total == 0


class TestNamingACourse:
    """`X-Lectern-Course`: its ceiling applies beside the learner's, and it counts the call."""

    @pytest.fixture
    async def course(self, place):
        made = await place.app.course("tess", open_enrollment=False)
        enroll = {"courseId": made, "learnerId": ANN}
        await place.app.ok("enroll_learner", enroll, uid="tess", role="teacher")
        return made

    @staticmethod
    async def spent(place, course):
        [day] = await place.services.budgets.spent("course", course)
        return day

    async def test_its_spend_panel_counts_the_call_and_so_does_the_learners(self, place, client, course):
        named = client.with_options(default_headers={"X-Lectern-Course": course})
        reply = await named.chat.completions.create(model=MODEL, messages=HELLO)
        nanos = 100 * reply.usage.prompt_tokens + 500 * reply.usage.completion_tokens
        day = await self.spent(place, course)
        assert (day.spent_nanos, day.reserved_nanos) == (nanos, 0)
        assert day.by_task == {"openai_proxy": (nanos, 1)}
        assert (await place.figures()).spent_nanos == nanos
        stream = await named.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert [each async for each in stream]
        await named.embeddings.create(model="text-embedding-3-small", input=["a"])
        assert (await self.spent(place, course)).by_task["openai_proxy"][1] == 3
        panel = await place.app.ok("get_spend", {"courseId": course}, uid="tess")
        assert panel["byTask"][0]["calls"] == 3

    async def test_without_it_no_course_pays(self, place, client, course):
        await client.chat.completions.create(model=MODEL, messages=HELLO)
        assert (await self.spent(place, course)).spent_nanos == 0
        assert (await place.figures()).spent_nanos > 0

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_course_of_others_is_not_found_as_one_that_is_not_there(
        self, place, tutor, course, stream
    ):
        told = []
        for uid, named in (("ben", course), ("ben/teacher", course), ("ben", "0" * 32), (ANN, "0" * 32)):
            headers = {"X-Lectern-Course": named}
            response = await place.chat(uid=uid, headers=headers, stream=stream)
            assert response.status_code == 404
            told.append({**response.json(), "requestId": ""})
        assert all(each == told[0] for each in told)
        assert told[0]["error"]["code"] == "not_found"
        async with openai.AsyncOpenAI(base_url=place.openai, api_key=BEN, max_retries=0) as client:
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(
                    model=MODEL, messages=HELLO, extra_headers={"X-Lectern-Course": course}
                )
        assert tutor.total == 0
        assert (await place.figures("ben")).spent_nanos == 0

    @pytest.mark.parametrize("named", ["a/b", "..", "__x__", "x" * 65, "a, b", "a b", "%2e"])
    async def test_what_is_no_id_is_refused(self, place, tutor, named):
        response = await place.chat(headers={"X-Lectern-Course": named})
        assert response.status_code == 400
        assert "X-Lectern-Course" in response.json()["error"]["message"]
        assert tutor.total == 0

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_course_at_its_ceiling_refuses_while_the_learner_has_money(self, tutor, stream):
        async with served(tutor, ceilings={"course_day": 1000}) as place:
            course = await place.app.course("tess")
            headers = {"X-Lectern-Course": course}
            refused = await place.chat(headers=headers, stream=stream)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["type"] == "rate_limit_error"
            assert "course" in refused.json()["error"]["message"]
            assert tutor.total == 0
            assert (await place.figures()).reserved_nanos == 0
            assert (await place.chat(stream=stream)).status_code == 200
            assert (await place.figures()).spent_nanos > 0

    async def test_its_refusal_is_not_that_of_who_asks_the_same_without_it(self, tutor):
        async with served(tutor, ceilings={"course_day": 1000}) as place:
            headers = {"X-Lectern-Course": await place.app.course("tess")}
            both = ({}, headers) * 5
            for stream in (False, True):
                replies = await asyncio.gather(
                    *(place.chat("at once", headers=each, stream=stream) for each in both)
                )
                assert [each.status_code for each in replies] == [200, 429] * 5

    async def test_a_browser_may_send_it(self, place):
        async with httpx.AsyncClient() as client:
            asked = await client.options(
                f"{place.openai}/chat/completions", headers={"origin": "https://school.example"}
            )
        assert "x-lectern-course" in asked.headers["access-control-allow-headers"]


async def test_a_client_that_retries_gets_through(place, tutor):
    tutor.fault = "500"

    async def mend():
        while tutor.total < 3:  # noqa: ASYNC110  another process counts
            await asyncio.sleep(0.01)
        tutor.fault = ""

    mending = asyncio.create_task(mend())
    async with openai.AsyncOpenAI(base_url=place.openai, api_key=ANN, max_retries=3) as client:
        reply = await client.chat.completions.create(model=MODEL, messages=HELLO)
    await mending
    assert reply.choices[0].message.content
    assert tutor.total == 4


async def test_a_provider_that_fails_is_an_internal_server_error_without_its_words(client, tutor):
    tutor.fault = "500"
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("fault", ["truncated", "reset"])
async def test_a_stream_that_breaks_off_is_an_error_and_never_cached(client, tutor, place, fault):
    tutor.fault = fault
    for _ in range(2):
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        with pytest.raises(openai.APIError):
            [each async for each in stream]
    assert tutor.total == 2
    tutor.fault = ""
    stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    assert [each async for each in stream][-1].choices[0].finish_reason == "stop"
    assert (await place.figures()).reserved_nanos == 0


async def test_the_same_request_is_answered_from_the_cache_and_costs_nothing(client, place, tutor):
    first = await client.chat.completions.create(model=MODEL, messages=HELLO)
    spent = (await place.figures()).spent_nanos
    again = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert again == first
    assert tutor.total == 1
    assert (await place.figures()).spent_nanos == spent
    await client.chat.completions.create(
        model=MODEL, messages=HELLO, extra_headers={"cache-control": "no-cache"}
    )
    assert tutor.total == 2
    first = [
        each async for each in await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    ]
    again = [
        each async for each in await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    ]
    assert first == again
    assert tutor.total == 3


async def test_in_the_cloud_without_a_key_it_is_not_available():
    async with served(None) as place:
        response = await place.chat()
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.json()["error"]["type"] == "server_error"


async def test_a_browser_may_call_from_an_allowed_origin_only(place):
    async with httpx.AsyncClient() as client:
        for origin, allowed in (("https://school.example", True), ("https://evil.example", False)):
            asked = await client.options(f"{place.openai}/chat/completions", headers={"origin": origin})
            assert asked.status_code == 204
            assert (asked.headers.get("access-control-allow-origin") == origin) is allowed
            assert "x-stainless-lang" in asked.headers["access-control-allow-headers"]


async def test_other_paths_and_methods_do_not_exist(place):
    async with httpx.AsyncClient(headers={"authorization": "Bearer ann"}) as client:
        for path in ("", "/files", "/chat/completions/x", "/../submit_answer", "/models/gpt-9"):
            assert (await client.get(place.openai + path)).status_code == 404
        for path in ("/files", "/completions", "/models"):
            assert (await client.post(place.openai + path, json={})).status_code == 404
        assert (await client.put(place.openai + "/models")).status_code == 405
        assert (await client.post(place.openai + "/chat/completions", content=b"{}")).status_code == 415
