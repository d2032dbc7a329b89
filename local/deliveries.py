"""
Wakes the event functions: creates topics, subscriptions and triggers from the registry, then relays.

A process of its own, so that the functions host spends its time on functions.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.cron import Job, keep_time
from local.host import ROOT, load_functions
from local.ports import HOST
from local.posting import Poster
from local.relay import PubSub, Relay, Route
from shared.edge import registry
from shared.edge.registry import Deployment, DocumentTrigger, ScheduleTrigger, TopicTrigger

_LEAST_ACK_DEADLINE, _MOST_ACK_DEADLINE = 10, 600
_SPARE_SECONDS = 5
_POLL_SECONDS = 0.1
_SETUP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the functions are served."""

    project: str
    region: str
    port: int

    def path(self, function: str) -> str:
        """The path of *function* on the host."""
        return f"/{self.project}/{self.region}/{function}"


def subscription_id(function: str) -> str:
    """The subscription that pushes to *function*."""
    return function.replace("_", "-")


def route(target: Target, deployment: Deployment, trigger: TopicTrigger) -> Route:
    """How messages of *trigger*'s topic reach *deployment*."""
    seconds = deployment.deadline_seconds + _SPARE_SECONDS
    return Route(
        subscription=f"projects/{target.project}/subscriptions/{subscription_id(deployment.name)}",
        path=target.path(deployment.name),
        dead_letter_topic=f"projects/{target.project}/topics/{trigger.dead_letter_topic}",
        max_delivery_attempts=trigger.max_delivery_attempts,
        minimum_backoff_seconds=trigger.minimum_backoff_seconds,
        maximum_backoff_seconds=trigger.maximum_backoff_seconds,
        ack_deadline_seconds=min(max(seconds, _LEAST_ACK_DEADLINE), _MOST_ACK_DEADLINE),
        ordered=trigger.ordered,
        timeout_seconds=seconds,
    )


async def create_subscription(
    client: httpx.AsyncClient, project: str, at: Route, trigger: TopicTrigger
) -> None:
    """
    Create the topic, its dead-letter topic, and a subscription of each.

    The dead-letter subscription is never relayed: it keeps what nobody could handle, to be looked at.
    """
    topic = f"projects/{project}/topics/{trigger.topic}"
    for name in (topic, at.dead_letter_topic):
        await _put(client, name, {})
    await _put(
        client,
        at.subscription,
        {
            "topic": topic,
            "ackDeadlineSeconds": at.ack_deadline_seconds,
            "enableMessageOrdering": at.ordered,
            "retryPolicy": {
                "minimumBackoff": f"{trigger.minimum_backoff_seconds}s",
                "maximumBackoff": f"{trigger.maximum_backoff_seconds}s",
            },
        },
    )
    dead = f"projects/{project}/subscriptions/{trigger.dead_letter_topic}"
    await _put(client, dead, {"topic": at.dead_letter_topic})


async def _answering(client: httpx.AsyncClient) -> None:
    while True:
        with contextlib.suppress(httpx.HTTPError):
            await client.get("/")
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _put(client: httpx.AsyncClient, name: str, content: dict[str, object]) -> None:
    reply = await client.put(f"/v1/{name}", json=content)
    if reply.status_code != httpx.codes.CONFLICT:
        reply.raise_for_status()


async def register_trigger(
    client: httpx.AsyncClient, project: str, function: str, trigger: DocumentTrigger
) -> None:
    """Have the Firestore emulator tell of each document created at *trigger*'s path."""
    reply = await client.post(
        f"/emulator/v1/projects/{project}/eventarcTrigger",
        params={"eventarcTriggerId": function},
        json={
            "eventType": "google.cloud.firestore.document.v1.created",
            "database": "(default)",
            "namespace": "(default)",
            "document": {"value": trigger.document, "matchType": "PATH_PATTERN"},
        },
    )
    reply.raise_for_status()


async def deliver(target: Target, deployments: Iterable[Deployment], ready: Path) -> None:
    """Set everything up, say so by writing *ready*, and relay until cancelled."""
    poster = Poster(HOST, target.port)
    service = PubSub(os.environ["PUBSUB_EMULATOR_HOST"])
    firestore = f"http://{os.environ['FIRESTORE_EMULATOR_HOST']}"
    pubsub = f"http://{os.environ['PUBSUB_EMULATOR_HOST']}"
    work = []
    async with (
        httpx.AsyncClient(base_url=firestore, trust_env=False, timeout=_SETUP_SECONDS) as documents,
        httpx.AsyncClient(base_url=pubsub, trust_env=False, timeout=_SETUP_SECONDS) as topics,
    ):
        await asyncio.gather(*map(_answering, (documents, topics)))
        for deployment in deployments:
            trigger = deployment.trigger
            if isinstance(trigger, TopicTrigger):
                at = route(target, deployment, trigger)
                await create_subscription(topics, target.project, at, trigger)
                work.append(Relay(service, poster, at).run())
            elif isinstance(trigger, DocumentTrigger):
                await register_trigger(documents, target.project, deployment.name, trigger)
            elif isinstance(trigger, ScheduleTrigger):
                job = Job(
                    name=deployment.name,
                    path=target.path(deployment.name),
                    schedule=trigger.schedule,
                    time_zone=trigger.time_zone,
                    timeout_seconds=deployment.deadline_seconds + _SPARE_SECONDS,
                )
                work.append(keep_time(poster, job))
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
        ready.touch()  # noqa: ASYNC240  once, at the start


def main() -> None:
    """Relay for the functions of a main.py; the emulators' addresses come from the environment."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--source", type=Path, default=ROOT / "main.py")
    parser.add_argument("--project", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready", type=Path, required=True)
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    load_functions(arguments.source)
    target = Target(project=arguments.project, region=arguments.region, port=arguments.port)
    asyncio.run(deliver(target, registry.deployments().values(), arguments.ready))


if __name__ == "__main__":
    main()
