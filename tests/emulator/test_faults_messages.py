"""Real Pub/Sub messages, five times each, out of order, with poison among them."""

import asyncio
import random
import time

import pytest
from google.pubsub_v1.types import pubsub

from shared.documents.base import Replace
from shared.errors import Unavailable
from shared.learning.answers import AnswerSubmitted, canonical
from shared.topics.base import ANSWERS_WAITING, Message
from shared.topics.pubsub import PubSub, PubSubTopic
from tests.checker import Form, Told, check
from tests.deployed import deployed, replace
from tests.faults import figures
from tests.simulation import forms
from tests.simulation.world import EPOCH
from tooling import dead_letters

MESSAGES = figures.number("LECTERN_MESSAGES", 200)
_pb_topic = pubsub.Topic.pb()
_pb_subscription = pubsub.Subscription.pb()
_pb_pull = pubsub.PullRequest.pb()
_pb_pulled = pubsub.PullResponse.pb()
_pb_acknowledge = pubsub.AcknowledgeRequest.pb()


class Subscription:
    """A subscription to the topic of waiting answers, pulled by hand."""

    def __init__(self, channel, project):
        self._channel = channel
        self._topic = f"projects/{project}/topics/{ANSWERS_WAITING}"
        self._name = f"projects/{project}/subscriptions/by-hand"

    async def _call(self, method, request, reply=bytes):
        call = self._channel.unary_unary(
            f"/google.pubsub.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply,
        )
        return await call(request, timeout=20)

    async def make(self):
        await self._call("Publisher/CreateTopic", _pb_topic(name=self._topic))
        await self._call(
            "Subscriber/CreateSubscription",
            _pb_subscription(name=self._name, topic=self._topic, ack_deadline_seconds=60),
        )

    async def everything(self, count):
        """All messages, of which there are at least *count*."""
        found = []
        while len(found) < count:
            pulled = await self._call(
                "Subscriber/Pull", _pb_pull(subscription=self._name, max_messages=500), _pb_pulled.FromString
            )
            held = pulled.received_messages
            if held:
                await self._call(
                    "Subscriber/Acknowledge",
                    _pb_acknowledge(subscription=self._name, ack_ids=[each.ack_id for each in held]),
                )
            found += [Message(each.message.data, each.message.ordering_key) for each in held]
        return found


@pytest.fixture
async def app(id_token):
    async with deployed(id_token, shard_page_bytes=4096) as app:
        yield app


async def deliver(app, messages, at_once=8):
    """Post every message until it is taken."""
    room = asyncio.Semaphore(at_once)

    async def post(message):
        async with room:
            for _ in range(20):
                response = await app.push("merge_answers", message)
                if response.status_code == 204:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(response.text)

    await asyncio.gather(*map(post, messages))


async def test_messages_repeated_reordered_and_poisoned_end_exact(app, project_id, emulators):
    rng = random.Random(6)
    pubsub_service = PubSub(project=project_id, emulator_host=emulators.pubsub)
    replace(app.services, answers_waiting=PubSubTopic(pubsub_service, ANSWERS_WAITING))
    subscription = Subscription(pubsub_service._channel, project_id)
    await subscription.make()
    course = await app.course()
    form = forms.make("assignment", 4, forms.POLICIES[4])
    await app.services.documents.commit(forms.documents_of(form, EPOCH))
    [header] = await app.services.documents.get(["assignments/assignment"])
    await app.services.documents.commit(
        [Replace("assignments/assignment", {"courseId": course}, header.version)]
    )

    told = Told()
    poison = [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"answers": [1]}',
        b'{"answers": [{"event": "{}", "seal": "x"}]}',
    ]
    poison += [b'{"answers": %d}' % number for number in range(MESSAGES // 20)]

    async def submit(number):
        question = rng.choice(form.questions).question_id
        answer = rng.choice(forms.ANSWERS[question])
        student = f"student-{rng.randrange(40)}"
        request = {
            "assignmentId": "assignment",
            "questionId": question,
            "answer": answer,
            "submissionId": f"submission-{number}",
        }
        await app.ok("submit_answer", request, uid=student)
        told.acknowledge(
            AnswerSubmitted(
                "assignment", question, student, f"submission-{number}", canonical(answer), 0, "function"
            )
        )

    for number in range(MESSAGES):
        await submit(number)  # one by one, so that each is a message of its own
    for data in poison:
        await app.services.answers_waiting.publish(Message(data or b" "))
    messages = await subscription.everything(MESSAGES + len(poison))
    assert len(messages) == MESSAGES + len(poison)

    repeated = messages * 5
    rng.shuffle(repeated)
    await deliver(app, repeated)

    letters = await app.services.documents.count("deadLetters")
    assert letters == len(set(poison))
    assert await app.services.pending_answers.count() == 0, "the messages alone must do it"
    found = await check(app.services.documents, told, [Form(form.assignment, form.keys)])
    assert found.merged == MESSAGES
    figures.note(messages=len(messages), deliveries=len(repeated), poison=len(set(poison)), letters=letters)

    # A dead letter may be handed in again: it is set aside again, as the same one.
    await deliver(app, [Message(data or b" ") for data in poison])
    assert await app.services.documents.count("deadLetters") == letters
    await check(app.services.documents, told, [form])


async def test_letters_are_replayed_when_what_was_wrong_with_them_is_put_right(app):
    imported = await app.imported("::t:: The Earth is round. {T}")
    request = {
        "assignmentId": imported["assignmentId"],
        "questionId": imported["questions"][0]["questionId"],
        "answer": {"value": True},
        "submissionId": "submission-1",
    }
    await app.ok("submit_answer", request, uid="ann")
    right = app.services.receipt_key
    replace(app.services, receipt_key=b"a key that nobody has signed with, 32+")
    for message in [*app.doorbell.messages, Message(b"poison")]:
        assert (await app.push("merge_answers", message)).status_code == 204
    assert await app.services.documents.count("deadLetters") == 2

    async def post(name, body, headers):
        return (await app.post(name, body, dict(headers))).status_code

    assert await dead_letters.replay(app.services.documents, post) == dead_letters.Replayed(set_aside_again=2)
    replace(app.services, receipt_key=right)
    assert (await app.push("merge_answers", Message(b"x" * 500_000))).status_code == 204
    other = await dead_letters.replay(app.services.documents, post, function="ingest_answers")
    assert other == dead_letters.Replayed()
    done = await dead_letters.replay(app.services.documents, post)

    assert done == dead_letters.Replayed(handled=1, set_aside_again=1, cut=1)
    assert (await app.assignment(imported["assignmentId"]))["asOf"]["events"] == 1
    [left, cut] = sorted(
        await dead_letters.letters(app.services.documents), key=lambda each: each.fields["cut"]
    )
    assert b"cG9pc29u" in left.fields["body"]
    assert len(cut.fields["body"]) == 500_000


async def test_an_outage_of_the_store_keeps_messages_and_their_replay_is_exact(app, project_id):
    """What was refused until its attempts were spent lies in the dead-letter topic; it may come any later."""
    course = await app.course()
    imported = await app.imported("::t:: The Earth is round. {T}", course_id=course)
    question = imported["questions"][0]["questionId"]
    for number in range(5):
        request = {
            "assignmentId": imported["assignmentId"],
            "questionId": question,
            "answer": {"value": number % 2 == 0},
            "submissionId": f"submission-{number}",
        }
        await app.ok("submit_answer", request, uid=f"student-{number}")
    messages, app.doorbell.messages = app.doorbell.messages, []

    class Outage:
        async def merge(self, *_, **__):
            message = "the store does not answer"
            raise Unavailable(message)

    merger = app.services.merger
    replace(app.services, merger=Outage())
    for message in messages:
        assert (await app.push("merge_answers", message)).status_code == 503
    assert await app.services.documents.count("deadLetters") == 0
    replace(app.services, merger=merger)

    began = time.monotonic()
    await deliver(app, messages * 2)
    document = await app.assignment(imported["assignmentId"])
    assert document["asOf"]["events"] == 5
    assert document["stats"]["questions"][question]["correct"] == 3
    assert time.monotonic() - began < 30
