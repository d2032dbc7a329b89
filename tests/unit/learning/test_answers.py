"""An answer's identity and its one text."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from shared.errors import InvalidRequest
from shared.learning import answers
from shared.learning.answers import (
    AnswerSubmitted,
    SubmitAnswer,
    canonical,
    decide,
    decode,
    encode,
    event_id,
    from_text,
    microseconds,
    moment,
    payload_digest,
    read_response,
    takes_answers,
    to_text,
)
from shared.learning.questions import Option, Question, RichText
from shared.learning.responses import NumberResponse, OptionResponse, TextResponse


def event(**changes):
    fields = {
        "assignment_id": "a",
        "question_id": "q",
        "student_id": "ann",
        "submission_id": "s",
        "answer": '{"number":4}',
        "submitted_at": 1_700_000_000_000_001,
        "source": "function",
    }
    return AnswerSubmitted(**{**fields, **changes})


def test_the_id_is_the_digest_that_rules_and_browsers_compute():
    assert event_id("a", "ann", "q", "s") == hashlib.sha256(b"lectern.answer.v1\na\nann\nq\ns").hexdigest()
    assert event().event_id == event_id("a", "ann", "q", "s")


@pytest.mark.parametrize("part", ["assignment_id", "question_id", "student_id", "submission_id"])
def test_every_part_of_the_identity_changes_the_id(part):
    assert event(**{part: "other"}).event_id != event().event_id


def test_the_id_says_nothing_of_what_was_answered_and_the_digest_does():
    other = event(answer='{"number":5}')
    assert other.event_id == event().event_id
    assert payload_digest(other) != payload_digest(event())
    later = event(submitted_at=5, source="browser")
    assert payload_digest(later) == payload_digest(event())
    assert (
        payload_digest(event())
        == hashlib.sha256(f"{event().event_id}\n{event().answer}".encode()).hexdigest()
    )


def test_an_event_is_read_back_as_it_was():
    assert decode(encode(event())) == event()
    assert decode(encode(event()).encode()) == event()
    assert json.loads(encode(event()))["submittedAt"] == "2023-11-14T22:13:20.000001Z"


@pytest.mark.parametrize(
    "name", ["assignmentId", "questionId", "studentId", "submissionId", "source", "submittedAt"]
)
@pytest.mark.parametrize("value", [None, 5, ["x"]])
def test_what_is_no_event_is_refused(name, value):
    fields = json.loads(encode(event()))
    with pytest.raises(InvalidRequest):
        decode(json.dumps({**fields, name: value}))
    with pytest.raises(InvalidRequest):
        decode(json.dumps({other: each for other, each in fields.items() if other != name}))


def test_another_type_of_event_is_refused():
    with pytest.raises(InvalidRequest, match="unknown event type"):
        decode(json.dumps({**json.loads(encode(event())), "type": "lectern.other.v1"}))
    for text in ("", "5", "[]", "null"):
        with pytest.raises(InvalidRequest):
            decode(text)


def test_times_are_exact_to_the_microsecond():
    at = datetime(2026, 11, 20, 17, 45, 3, 123_457, tzinfo=UTC)
    assert moment(microseconds(at)) == at
    assert microseconds(datetime(1970, 1, 2, 0, 0, 1, 2, tzinfo=UTC)) == 86_401_000_002
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert moment(-1) == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert from_text(to_text(microseconds(at))) == microseconds(at)
    assert to_text(86_401_000_002) == "1970-01-02T00:00:01.000002Z"


def test_equal_answers_are_equal_texts():
    assert canonical({"b": 1, "a": "é"}) == canonical({"a": "é", "b": 1}) == '{"a":"é","b":1}'


def question(kind, **parts):
    return Question(question_id="q", type=kind, name="n", text=RichText(text="t"), **parts)


CHOICE = question("singleChoice", options=(Option(option_id="o", text=RichText(text="x")),))
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def claimed(answer, **changes):
    command = SubmitAnswer(assignment_id="a", question_id="q", answer=answer)
    parts = {"student_id": "ann", "submission_id": "s", "now": NOW, "source": "function", **changes}
    return decide(command, CHOICE, **parts)


def test_what_is_recorded_is_the_claim_with_the_servers_who_and_when():
    assert claimed(OptionResponse(option_id="o")) == AnswerSubmitted(
        assignment_id="a",
        question_id="q",
        student_id="ann",
        submission_id="s",
        answer='{"optionId":"o"}',
        submitted_at=microseconds(NOW),
        source="function",
    )


@pytest.mark.parametrize("answer", [OptionResponse(option_id="other"), TextResponse(text="o")])
def test_an_answer_that_does_not_fit_the_question_is_not_recorded(answer):
    with pytest.raises(InvalidRequest):
        claimed(answer)


def test_a_stored_response_is_read_by_its_questions_shape(monkeypatch):
    monkeypatch.setattr(answers, "_ADAPTERS", {})
    for _ in range(2):
        assert read_response('{"optionId":"o"}', CHOICE) == OptionResponse(option_id="o")
        assert read_response('{"number":4}', question("numeric")) == NumberResponse(number=4)
    for text in ('{"optionId":"other"}', '{"text":"o"}', '{"optionId":5}', "", "null"):
        with pytest.raises(InvalidRequest):
            read_response(text, CHOICE)
    for text in ('{"number":"4"}', '{"number":true}'):
        with pytest.raises(InvalidRequest):
            read_response(text, question("numeric"))
    with pytest.raises(InvalidRequest, match="takes no answer"):
        read_response('{"text":"x"}', question("description"))


def test_a_description_asks_nothing():
    assert not takes_answers(question("description"))
    assert takes_answers(CHOICE)
    assert takes_answers(question("essay"))
