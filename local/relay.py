"""
Carries Pub/Sub messages to functions as push subscriptions do in the cloud.

The emulator's own push allows two requests at a time, leaves out the ordering key and the delivery
attempt, and forgets the retry policy; pulled by stream it repeats a refused message at once, until its
attempts are spent. So this relay pulls, posts the envelope that the cloud would, waits between attempts
as the retry policy says, and moves a message whose attempts are spent to the dead-letter topic itself.
"""

import asyncio
import base64
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.pubsub_v1.types import pubsub

from local.posting import Poster, is_success

log = logging.getLogger(__name__)

_HELD_AT_MOST = 2000
_AT_ONCE = 512
_ACK_DELAY_SECONDS = 0.005
_ACKS_AT_ONCE = 1000
_RECONNECT_SECONDS = 0.5

_PullRequest = pubsub.StreamingPullRequest.pb()
_PullResponse = pubsub.StreamingPullResponse.pb()
_Acknowledge = pubsub.AcknowledgeRequest.pb()
_ModifyAckDeadline = pubsub.ModifyAckDeadlineRequest.pb()
_Publish = pubsub.PublishRequest.pb()
_Message = pubsub.PubsubMessage.pb()

Held = Any
"""One ``ReceivedMessage``; protobuf's generated classes carry no types."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """From which subscription to which function, and on what terms."""

    subscription: str
    path: str
    dead_letter_topic: str
    max_delivery_attempts: int
    minimum_backoff_seconds: float
    maximum_backoff_seconds: float
    ack_deadline_seconds: int
    ordered: bool
    timeout_seconds: float

    def pause(self, attempt: int) -> float:
        """How long to wait after the failure of *attempt*, the first being 1."""
        return min(self.minimum_backoff_seconds * 2.0 ** (attempt - 1), self.maximum_backoff_seconds)


class PubSub:
    """The few calls of the Pub/Sub service that a relay needs, without the client library's threads."""

    def __init__(self, host: str) -> None:
        self._channel = grpc.aio.insecure_channel(host, options=[("grpc.enable_http_proxy", 0)])
        service = "/google.pubsub.v1."
        self._pull = self._channel.stream_stream(
            f"{service}Subscriber/StreamingPull",
            request_serializer=_PullRequest.SerializeToString,
            response_deserializer=_PullResponse.FromString,
        )
        self._acknowledge = self._unary(f"{service}Subscriber/Acknowledge", _Acknowledge)
        self._modify = self._unary(f"{service}Subscriber/ModifyAckDeadline", _ModifyAckDeadline)
        self._publish = self._unary(f"{service}Publisher/Publish", _Publish)

    def _unary(self, method: str, request: Any) -> Any:
        return self._channel.unary_unary(
            method, request_serializer=request.SerializeToString, response_deserializer=bytes
        )

    async def messages(self, subscription: str, ack_deadline_seconds: int) -> AsyncIterator[Held]:
        """Messages as they come, until the stream breaks with ``grpc.aio.AioRpcError``."""
        call = self._pull()
        request = _PullRequest(subscription=subscription, stream_ack_deadline_seconds=ack_deadline_seconds)
        try:
            await call.write(request)
            async for response in call:
                for held in response.received_messages:
                    yield held
        finally:
            call.cancel()

    async def acknowledge(self, subscription: str, ack_ids: list[str]) -> None:
        """Have done with *ack_ids*."""
        await self._acknowledge(_Acknowledge(subscription=subscription, ack_ids=ack_ids), timeout=10)

    async def extend(self, subscription: str, ack_ids: list[str], seconds: int) -> None:
        """Keep *ack_ids* for *seconds* more."""
        request = _ModifyAckDeadline(subscription=subscription, ack_ids=ack_ids, ack_deadline_seconds=seconds)
        await self._modify(request, timeout=10)

    async def publish(self, topic: str, message: Any) -> None:
        """Publish one message."""
        await self._publish(_Publish(topic=topic, messages=[message]), timeout=10)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


class Relay:
    """Carries the messages of one route until cancelled."""

    def __init__(self, service: PubSub, poster: Poster, route: Route) -> None:
        self._service = service
        self._poster = poster
        self._route = route
        self._held: set[str] = set()
        self._keys: dict[str, deque[Held]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_HELD_AT_MOST)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._acks: list[str] = []
        self._acks_waiting = asyncio.Event()

    async def run(self) -> None:
        """Pull and deliver."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pull())
            group.create_task(self._send_acks())
            group.create_task(self._keep_leases())

    async def _pull(self) -> None:
        route = self._route
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for held in self._service.messages(route.subscription, route.ack_deadline_seconds):
                    await self._take(held)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _take(self, held: Held) -> None:
        await self._room.acquire()
        self._held.add(held.ack_id)
        key = held.message.ordering_key if self._route.ordered else ""
        if not key:
            self._begin(self._deliver(held))
        elif key in self._keys:
            self._keys[key].append(held)
        else:
            self._keys[key] = deque([held])
            self._begin(self._deliver_in_order(key))

    def _begin(self, delivery: Any) -> None:
        task = asyncio.create_task(delivery)
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver_in_order(self, key: str) -> None:
        waiting = self._keys[key]
        while waiting:
            await self._deliver(waiting[0])
            waiting.popleft()
        del self._keys[key]

    async def _deliver(self, held: Held) -> None:
        route = self._route
        attempt = max(held.delivery_attempt, 1)
        while not await self._post(held, attempt):
            if attempt >= route.max_delivery_attempts:
                await self._bury(held, attempt)
                break
            await asyncio.sleep(route.pause(attempt))
            attempt += 1
        self._held.discard(held.ack_id)
        self._room.release()
        self._acks.append(held.ack_id)
        self._acks_waiting.set()

    async def _post(self, held: Held, attempt: int) -> bool:
        body = envelope(held.message, self._route.subscription, attempt)
        headers = {"content-type": "application/json", "user-agent": "CloudPubSub-Google"}
        async with self._slots:
            try:
                status = await self._poster.post(
                    self._route.path, body, headers, timeout_seconds=self._route.timeout_seconds
                )
            except (OSError, TimeoutError) as error:
                log.warning("push_failed path=%s attempt=%d error=%r", self._route.path, attempt, error)
                return False
        if not is_success(status):
            log.warning("push_refused path=%s attempt=%d status=%d", self._route.path, attempt, status)
            return False
        return True

    async def _bury(self, held: Held, attempts: int) -> None:
        dead = _Message()
        dead.CopyFrom(held.message)
        dead.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(attempts)
        dead.attributes["CloudPubSubDeadLetterSourceSubscription"] = self._route.subscription.rpartition("/")[
            2
        ]
        dead.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = self._route.subscription.split(
            "/"
        )[1]
        dead.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = (
            held.message.publish_time.ToJsonString()
        )
        dead.ClearField("message_id")
        dead.ClearField("publish_time")
        log.error("push_dead_lettered path=%s attempts=%d", self._route.path, attempts)
        while True:
            try:
                await self._service.publish(self._route.dead_letter_topic, dead)
            except grpc.aio.AioRpcError as error:
                log.warning("dead_letter_publish_failed error=%s", error.code())
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                return

    async def _send_acks(self) -> None:
        while True:
            await self._acks_waiting.wait()
            await asyncio.sleep(_ACK_DELAY_SECONDS)
            batch, self._acks = self._acks[:_ACKS_AT_ONCE], self._acks[_ACKS_AT_ONCE:]
            if not self._acks:
                self._acks_waiting.clear()
            try:
                await self._service.acknowledge(self._route.subscription, batch)
            except grpc.aio.AioRpcError as error:
                log.warning("acknowledge_failed messages=%d error=%s", len(batch), error.code())

    async def _keep_leases(self) -> None:
        seconds = self._route.ack_deadline_seconds
        while True:
            await asyncio.sleep(seconds / 3)
            held = list(self._held)
            for start in range(0, len(held), _ACKS_AT_ONCE):
                try:
                    await self._service.extend(
                        self._route.subscription, held[start : start + _ACKS_AT_ONCE], seconds
                    )
                except grpc.aio.AioRpcError as error:
                    log.warning("lease_not_extended error=%s", error.code())


def envelope(message: Any, subscription: str, attempt: int) -> bytes:
    """The body of a push request, field by field as Pub/Sub sends it."""
    published = message.publish_time.ToJsonString()
    content: dict[str, Any] = {
        "attributes": dict(message.attributes),
        "data": base64.b64encode(message.data).decode(),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": published,
        "publish_time": published,
    }
    if message.ordering_key:
        content["orderingKey"] = message.ordering_key
    return json.dumps({"message": content, "subscription": subscription, "deliveryAttempt": attempt}).encode()
