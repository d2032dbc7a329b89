"""What is read of replies that pass through: however they are cut, and whatever a model wrote in them."""

import contextlib
import itertools
import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.budgets.prices import Usage
from shared.errors import InvalidRequest, Rejected
from shared.gateway import allowed
from shared.gateway.allowed import CHAT, EMBEDDINGS, RESPONSES, Allowance, passing
from shared.gateway.scanning import Passage, look
from shared.gateway.upstream import Improper, Unsuited
from tests.security.hostile import BODIES, VALUES

ALLOWANCE = Allowance(("gpt-6-luna",), ("embedding",), 100, tools=True, effort="none")
MESSAGES = [{"role": "user", "content": "why?"}]
USED = {"prompt_tokens": 9, "completion_tokens": 5}
TEXT = {"choices": [{"delta": {"content": "hi"}, "finish_reason": None}]}
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
BILL = {"choices": [], "usage": USED}
DONE = b"data: [DONE]\n\n"


def request(path=CHAT, **more):
    asked = {"messages": MESSAGES} if path == CHAT else {"input": "why?"}
    return passing(path, orjson.dumps({"model": "gpt-6-luna", **asked, **more}), ALLOWANCE)


def chat(*events):
    return b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in events)


def responses(*events):
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each)) for each in events
    )


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def passed(passage, pieces):
    return b"".join(passage.feed(piece) for piece in pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 17, 1000])
@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_a_stream_is_the_same_however_it_is_cut(size, line):
    stream = (chat(TEXT, TEXT, STOP, BILL) + DONE).replace(b"\n", line)
    passage = Passage(request(stream=True, stream_options={"include_usage": True}))
    assert passed(passage, cut(stream, size)) == stream
    assert passage.seen() == (Usage(9, 5), True)


@pytest.mark.parametrize("comment", [b": keep-alive\n\n", b"\n", b"\r\n\r\n"])
def test_signs_of_life_are_no_events(comment):
    passage = Passage(request(stream=True))
    passed(passage, [chat(TEXT), chat(STOP), *[comment] * 9, chat(BILL), *[comment + comment] * 9, DONE])
    assert passage.seen() == (Usage(9, 5), True)


SAID = ["event: error", 'data: {"error": 1}', "event: response.failed", "\nevent: error\n\n"]


@pytest.mark.parametrize("said", SAID)
def test_what_a_model_or_a_client_wrote_is_no_failure(said):
    completed = {
        "type": "response.completed",
        "response": {"instructions": said, "usage": {"input_tokens": 9, "output_tokens": 5}},
    }
    stream = responses({"type": "response.output_text.done", "text": said}, completed)
    passage = Passage(request(RESPONSES, stream=True, instructions=said))
    assert passed(passage, cut(stream, 40)) == stream
    assert passage.seen() == (Usage(9, 5), True)
    passage = Passage(request(stream=True))
    passed(passage, [chat({"choices": [{"delta": {"content": said}}]}, STOP, BILL) + DONE])
    assert passage.seen().keep


@pytest.mark.parametrize(
    "failure",
    [
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b"event: error\ndata: {}\n\n",
        b"event: response.failed\r\ndata: {}\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [7, 1000])
def test_what_the_provider_says_is_one(failure, size):
    for before in (b"", chat(TEXT)):
        passage = Passage(request(stream=True))
        with pytest.raises(Improper):
            passed(passage, cut(before + failure, size))


@pytest.mark.parametrize(
    "odd", [None, 5, "text", [], [None], {"choices": None}, {"choices": None, "usage": 7}]
)
def test_events_of_another_shape_say_nothing(odd):
    passage = Passage(request(stream=True))
    passed(passage, [chat(TEXT, STOP, odd, BILL) + DONE])
    assert passage.seen() == (Usage(9, 5), True)


@pytest.mark.parametrize("odd", [{"choices": [None]}, {"choices": 7}])
def test_choices_of_another_shape_are_no_reply(odd):
    passage = Passage(request(stream=True))
    passed(passage, [chat(TEXT, odd, STOP) + DONE])
    with pytest.raises(Improper):
        passage.seen()


@pytest.mark.parametrize(
    "odd", [{"type": "response.completed"}, {"type": "response.completed", "response": None}]
)
def test_an_end_of_another_shape_is_none(odd):
    passage = Passage(request(RESPONSES, stream=True))
    passed(passage, [responses(odd)])
    with pytest.raises(Improper):
        passage.seen()


def completion(content, finish="stop", **message):
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return orjson.dumps({"choices": [choice], "usage": USED})


def test_what_should_be_json_is_asked_for_again_unless_the_clients_own_words_stopped_it():
    form = {"response_format": {"type": "json_object"}}
    assert look(request(**form), completion('{"a": 1}')).keep
    with pytest.raises(Unsuited):
        look(request(**form), completion('{"a": 1'))
    assert look(request(**form, stop=["}"]), completion('{"a": 1')) == (Usage(9, 5), True)


def test_a_refusal_is_a_reply():
    form = {"response_format": {"type": "json_object"}}
    assert look(request(**form), completion(None, refusal="I cannot help with that")) == (Usage(9, 5), True)
    assert look(request(), completion("", "content_filter")) == (Usage(9, 5), False)


def test_a_reply_of_another_shape_is_none():
    for body in (b"null", b"[]", b"{}", b'{"choices": []}', b'{"choices": [null]}', b"<html>"):
        with pytest.raises(Improper) as caught:
            look(request(), body)
        assert not isinstance(caught.value, Unsuited)


@pytest.mark.parametrize(
    ("path", "field", "odd"),
    [
        *itertools.product([CHAT], ["role"], [[], {}, ["user"], 7, None]),
        *itertools.product(
            [CHAT, RESPONSES], ["content"], [[{"type": each}] for each in (["text"], {}, None)]
        ),
    ],
)
def test_messages_of_another_shape_are_refused(path, field, odd):
    messages = [{"role": "user", "content": "why?", field: odd}]
    asked = {"messages": messages} if path == CHAT else {"input": messages}
    with pytest.raises(InvalidRequest):
        passing(path, orjson.dumps({"model": "gpt-6-luna", **asked}), ALLOWANCE)


@pytest.mark.parametrize("odd", [[], {}, 7, [7], [[]], ["x"] * 65])
def test_inputs_of_another_shape_are_refused(odd):
    with pytest.raises(InvalidRequest):
        passing(EMBEDDINGS, orjson.dumps({"model": "embedding", "input": odd}), ALLOWANCE)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(list(VALUES.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("path", [CHAT, RESPONSES, EMBEDDINGS])
@pytest.mark.parametrize("tools", [False, True])
def test_bodies_that_are_no_requests_are_refused(path, tools):
    for what, body in BODIES.items():
        with pytest.raises(Rejected):
            pytest.fail(f"{what}: {passing(path, body, ALLOWANCE._replace(tools=tools))}")
    for depth in (200, 300, 2000):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        body = (
            b'{"model": "gpt-6-luna", "messages": [{"role": "user", "content": "why?"}], "response_format": %b}'
            % deep
        )
        if path != CHAT or depth > 250:
            with pytest.raises(Rejected):
                passing(path, body, ALLOWANCE)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_field_holds_it_is_passed_on_or_refused(data):
    path = data.draw(st.sampled_from([CHAT, RESPONSES, EMBEDDINGS]))
    body = {"model": "embedding" if path == EMBEDDINGS else "gpt-6-luna"}
    body |= {"messages": MESSAGES} if path == CHAT else {"input": "why?"}
    fields = st.sampled_from([*allowed._FIELDS[path], *allowed._TOOLS.get(path, {})])
    body |= data.draw(st.dictionaries(fields, ANYTHING, min_size=1, max_size=3))
    if "messages" in body and data.draw(st.booleans()):
        body["messages"] = [
            {"role": "user", "content": "why?", **data.draw(st.dictionaries(MESSAGE_FIELDS, ANYTHING))}
        ]
    tools = data.draw(st.booleans())
    try:
        made = passing(path, json.dumps(body).encode(), ALLOWANCE._replace(tools=tools))
    except Rejected:
        return
    sent = orjson.loads(made.body)
    assert made.model in {"gpt-6-luna", "embedding"}
    assert sent.keys() <= {
        *body,
        "max_completion_tokens",
        "max_output_tokens",
        "reasoning_effort",
        "reasoning",
        "store",
        "stream_options",
    }
    assert made.most_tokens <= ALLOWANCE.most_tokens
    look_or_not(made)


MESSAGE_FIELDS = st.sampled_from(sorted(allowed._MESSAGE))


def look_or_not(made):
    """Reading a reply depends on nothing that the request may hold."""
    for body in (completion("hi"), b"{}"):
        with contextlib.suppress(Improper):
            look(made, body)
