"""
Every deployable function, declared once.

``main.py``'s exports, ``functions.yaml``, the OpenAPI document, the TypeScript client, the tables
in the docs, the local host's routes, its cron and its relay are all made from this.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response


class Role(StrEnum):
    """Who may call a function; each role includes those before it."""

    ANYONE = "anyone"
    SIGNED_IN = "signedIn"
    TEACHER = "teacher"
    ADMIN = "admin"
    PLATFORM = "platform"
    """Google's own callers (Pub/Sub, Eventarc, Scheduler), proven by an OIDC token."""


class RateClass(StrEnum):
    """
    What a function's calls count against; settings say how many points that is.

    The first two are counted within each instance only, widely, and cost neither a round trip nor a
    billed operation; the others are exact over all instances.
    """

    SUBMIT = "submit"
    """Accepting answers: per user only, as a whole school may have one address."""
    CALL = "call"
    """Everything else."""
    AI = "ai"
    LESSON = "lesson"
    UPLOAD = "upload"

    @property
    def by_address(self) -> bool:
        """Whether an address' calls count, beside the user's."""
        return self is not RateClass.SUBMIT

    @property
    def shared(self) -> bool:
        """Whether all instances count together."""
        return self in {RateClass.AI, RateClass.LESSON, RateClass.UPLOAD}


@dataclass(frozen=True, kw_only=True)
class ClientCall:
    """
    Called by a browser or a server, as a callable (``{"data": …}``) or as plain REST.

    With *sends*, it can be asked for server-sent events: any number of these, then the reply.
    """

    request: type[BaseModel]
    reply: type[BaseModel]
    status: int = 200
    sends: type[BaseModel] | None = None


@dataclass(frozen=True, kw_only=True)
class TopicTrigger:
    """
    Woken by a Pub/Sub topic.

    A *doorbell* only copies what is stored, so losing a message costs time and nothing else: Eventarc
    delivers it, with retries. Of any other topic the messages are all there is: it has a push
    subscription of its own, and what fails *max_delivery_attempts* times goes to ``{topic}-dead``.
    """

    topic: str
    doorbell: bool = False
    max_delivery_attempts: int = 10
    ordered: bool = False
    minimum_backoff_seconds: int = 1
    maximum_backoff_seconds: int = 60

    @property
    def dead_letter_topic(self) -> str:
        """Where messages go that nobody could handle."""
        return f"{self.topic}-dead"


@dataclass(frozen=True, kw_only=True)
class DocumentTrigger:
    """Woken when a document that matches *document* (``collection/{id}``) is created."""

    document: str


@dataclass(frozen=True, kw_only=True)
class ScheduleTrigger:
    """Woken by Cloud Scheduler at *schedule*, five cron fields in *time_zone*."""

    schedule: str
    time_zone: str = "Etc/UTC"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """One path beneath a pass-through function, for the documents."""

    method: str
    path: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class PassedHeader:
    """A header that clients may send with a ``POST``, for the documents; *value_type* is what it may say."""

    name: str
    summary: str
    value_type: Any


@dataclass(frozen=True, kw_only=True)
class PassThrough:
    """
    Called by clients of another protocol, at paths beneath the function, by ``GET`` and ``POST``.

    Its errors leave in OpenAI's envelope, its replies as the upstream sent them, often as streams.
    *headers* are those that it reads beside that protocol's own.
    """

    paths: tuple[Passed, ...]
    headers: tuple[PassedHeader, ...] = ()


Trigger = ClientCall | PassThrough | TopicTrigger | DocumentTrigger | ScheduleTrigger


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What an instance is given; *concurrency* requests share one, so that they share its clients."""

    memory_mib: int = 512
    concurrency: int = 80
    min_instances: int = 0
    max_instances: int = 1000


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One function as it is deployed; *summary* is the first sentence of its docstring."""

    name: str
    module: str
    summary: str
    trigger: Trigger
    role: Role
    deadline_seconds: int
    max_body_bytes: int
    capacity: Capacity
    handler: Handler
    sensitive: bool = False
    """Whether a revoked session is refused at once, instead of within a minute."""
    rate: RateClass = RateClass.CALL
    provider: bool = False
    """Whether it speaks to the provider of models, though its calls do not count as questions to one."""

    @property
    def for_clients(self) -> bool:
        """Whether browsers and servers call it, rather than the platform."""
        return isinstance(self.trigger, ClientCall | PassThrough)

    @property
    def asks_models(self) -> bool:
        """Whether it needs the key of the provider of models."""
        return self.provider or self.rate in {RateClass.AI, RateClass.LESSON}


_deployments: dict[str, Deployment] = {}


def register(deployment: Deployment) -> None:
    """
    Add *deployment*.

    Raises:
        ValueError: another module has a function of that name.
    """
    known = _deployments.get(deployment.name)
    if known is not None and known.module != deployment.module:
        message = f"{deployment.name} is declared in {known.module} and in {deployment.module}"
        raise ValueError(message)
    _deployments[deployment.name] = deployment


def deployments() -> Mapping[str, Deployment]:
    """All functions whose modules have been imported, by name; ``main.load_all()`` imports every one."""
    return dict(sorted(_deployments.items()))
