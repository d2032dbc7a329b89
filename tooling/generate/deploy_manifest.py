"""``functions.yaml``: what firebase-tools deploys and emulates (its ``v1alpha1`` discovery format)."""

from collections.abc import Sequence
from typing import Any

import yaml

from shared.edge.registry import (
    ClientCall,
    Deployment,
    DocumentTrigger,
    PassThrough,
    ScheduleTrigger,
    TopicTrigger,
)
from tooling.scale.tiers import TIERS, Tier

REGION = "us-central1"
"""Where functions run unless the deployment says otherwise."""

_EVENTS_ACCOUNT = "lectern-events@"
"""Made by infra/, completed by firebase-tools, which at each deployment lets nobody else in."""

_RETRY = {
    "retryCount": 3,
    "minBackoffSeconds": 10,
    "maxBackoffSeconds": 60,
}


_ANSWERS_WAY = ("submit_answer", "submit_answers", "merge_answers", "on_answer_created")
"""The functions that a tier keeps warm."""


OPTIONAL_SECRETS = ("LECTERN_REDIS_URL", "LECTERN_CACHE_KEY")
"""Secrets that a deployment may have: one that is bound and not there would keep it from being deployed."""


def environment(tier: Tier) -> str:
    """``.env``: what functions must know of *tier*; firebase-tools takes no variables from its manifest."""
    return (
        "# Made by `make generate TIER=...`; do not edit. Settings of your own go into .env.<project>.\n"
        f"LECTERN_TIER={tier.name}\n"
    )


def render(
    functions: Sequence[Deployment],
    tier: Tier = TIERS[0],
    secrets: Sequence[str] = (),
    region: str = REGION,
) -> str:
    """The manifest of *functions* in *region*, for *tier*, with *secrets*, which are some of the optional."""
    manifest = {
        "specVersion": "v1alpha1",
        "requiredAPIs": [
            {
                "api": "cloudscheduler.googleapis.com",
                "reason": "The sweep and the clean-up run on a schedule.",
            },
            {"api": "eventarc.googleapis.com", "reason": "Merging is woken by events."},
        ],
        "endpoints": {function.name: _endpoint(function, tier, secrets, region) for function in functions},
    }
    header = "# Made from the function registry by `make generate`; do not edit.\n"
    return header + yaml.safe_dump(manifest, sort_keys=False, width=110)


def _endpoint(function: Deployment, tier: Tier, secrets: Sequence[str], region: str) -> dict[str, Any]:
    capacity = function.capacity
    warm = tier.min_instances if function.name in _ANSWERS_WAY else 0
    return {
        "entryPoint": function.name,
        "platform": "gcfv2",
        "region": [region],
        "availableMemoryMb": max(capacity.memory_mib, tier.memory_mib),
        "cpu": 1,
        "concurrency": capacity.concurrency,
        "minInstances": max(capacity.min_instances, warm),
        "maxInstances": min(capacity.max_instances, tier.max_instances),
        "timeoutSeconds": function.deadline_seconds + 5,
        "labels": {"app": "lectern"},
        "secretEnvironmentVariables": [{"key": name} for name in [*_secrets(function), *secrets]],
        **_trigger(function, tier),
    }


def _secrets(function: Deployment) -> list[str]:
    """The provider's key is given to those functions only that ask models."""
    model = ["LECTERN_OPENAI_API_KEY"] if function.asks_models else []
    return ["LECTERN_RECEIPT_KEY", "LECTERN_INGEST_KEY", *model]


def _trigger(function: Deployment, tier: Tier) -> dict[str, Any]:
    match function.trigger:
        case ClientCall() | PassThrough():
            return {"httpsTrigger": {"invoker": ["public"]}}
        case TopicTrigger(doorbell=False):
            # Its push subscription, with the dead-letter topic, is in infra/: Eventarc's have none.
            return {"httpsTrigger": {"invoker": [_EVENTS_ACCOUNT]}}
        case TopicTrigger(topic=topic):
            return {
                "eventTrigger": {
                    "eventType": "google.cloud.pubsub.topic.v1.messagePublished",
                    "eventFilters": {"topic": topic},
                    "retry": True,
                }
            }
        case DocumentTrigger(document=document):
            return {
                "eventTrigger": {
                    "eventType": "google.cloud.firestore.document.v1.created",
                    "eventFilters": {"database": "(default)", "namespace": "(default)"},
                    "eventFilterPathPatterns": {"document": document},
                    "retry": True,
                }
            }
        case ScheduleTrigger(schedule=schedule, time_zone=time_zone):
            if function.name == "sweep_pending":
                schedule = f"*/{tier.sweep_minutes} * * * *"
            return {
                "scheduleTrigger": {"schedule": schedule, "timeZone": time_zone, "retryConfig": dict(_RETRY)}
            }
