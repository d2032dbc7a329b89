"""Topics on Pub/Sub, over its generated gRPC messages; concurrent messages share a round trip."""

from functools import cached_property
from typing import Any

import grpc.aio

from shared.errors import Unavailable
from shared.topics import messages
from shared.topics.base import Message

_DEADLINE_SECONDS = 5.0
_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
_pb_publish = messages.message("PublishRequest")
_pb_publish_reply = messages.message("PublishResponse")
_pb_message = messages.message("PubsubMessage")


class PubSub:
    """A connection to Pub/Sub; lives on one event loop, for the life of the process."""

    def __init__(self, *, project: str, emulator_host: str = "") -> None:
        """Name the project; nothing is connected before the first message."""
        self.project = project
        self._emulator_host = emulator_host

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        if self._emulator_host:
            return grpc.aio.insecure_channel(self._emulator_host)
        from google.api_core import grpc_helpers_async

        return grpc_helpers_async.create_channel("pubsub.googleapis.com:443", default_scopes=_SCOPES)

    @cached_property
    def publish(self) -> Any:
        """The Publish RPC."""
        return self._channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=_pb_publish.SerializeToString,
            response_deserializer=_pb_publish_reply.FromString,
        )

    async def close(self) -> None:
        """End the connection."""
        if "_channel" in self.__dict__:
            await self._channel.close()


class PubSubTopic:
    """One topic."""

    def __init__(self, pubsub: PubSub, name: str) -> None:
        """Publish to the topic of that *name* through *pubsub*."""
        self._pubsub = pubsub
        self._topic = f"projects/{pubsub.project}/topics/{name}"

    async def close(self) -> None:
        """End the connection to Pub/Sub."""
        await self._pubsub.close()

    async def publish(self, message: Message) -> None:
        """See the port."""
        request = _pb_publish(
            topic=self._topic,
            messages=[
                _pb_message(
                    data=message.data, ordering_key=message.ordering_key, attributes=dict(message.attributes)
                )
            ],
        )
        routing = (("x-goog-request-params", f"topic={self._topic}"),)
        try:
            await self._pubsub.publish(request, timeout=_DEADLINE_SECONDS, metadata=routing)
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            message_text = "Pub/Sub did not take the message"
            raise Unavailable(message_text) from error
