"""
The one reader of the environment.

Not through pydantic-settings, which imports what reads command lines, folders of secrets and ``.env`` files
besides: a fifth of what it takes to start a function.
"""

import json
import os
from functools import cache
from typing import Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_OWN = "lectern_"


class Settings(BaseModel):
    """
    What differs between one deployment and another.

    Lectern's own variables begin with ``LECTERN_``; those of Google's libraries keep their names. Case does
    not matter, lists and maps are JSON, and what is given by name comes before the environment.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, validate_default=True)

    project: str = Field("demo-lectern", validation_alias="GOOGLE_CLOUD_PROJECT")
    region: str = Field("us-central1", validation_alias="FIREBASE_REGION")
    database: str = "(default)"
    firestore_emulator_host: str = Field("", validation_alias="FIRESTORE_EMULATOR_HOST")
    pubsub_emulator_host: str = Field("", validation_alias="PUBSUB_EMULATOR_HOST")
    auth_emulator_host: str = Field("", validation_alias="FIREBASE_AUTH_EMULATOR_HOST")
    cloud_run_service: str = Field("", validation_alias="K_SERVICE")
    cloud_run_revision: str = Field("", validation_alias="K_REVISION")
    functions_emulator: bool = Field(default=False, validation_alias="FUNCTIONS_EMULATOR")

    receipt_key: SecretStr = SecretStr("")
    """Signs receipts, messages and cursors; at least 32 characters. ``make run`` makes one."""
    ingest_key: SecretStr = SecretStr("")
    """Shared with the systems that publish to ``answers-incoming``; empty refuses all of them."""

    allowed_origins: tuple[str, ...] = ()
    """Browser origins that may call, exactly as browsers send them."""
    check_revoked: bool = True
    """Ask Auth whether sessions were revoked and accounts closed; needs ``firebaseauth.users.get``."""
    app_check: Literal["off", "monitor", "enforce"] = "off"
    events_audiences: tuple[str, ...] = ()
    """What an OIDC token's ``aud`` may be: the functions' URLs, as their callers name them."""
    events_service_accounts: tuple[str, ...] = ()
    """The service accounts whose OIDC tokens may wake event functions."""

    archive_url: str = ""
    """Where old segments go: ``gs://bucket/prefix`` or ``file:///folder``; empty: they stay in Firestore."""
    archive_after_days: int = Field(7, ge=0)
    archive_drop_after_days: int | None = Field(None, ge=0)
    """When the bodies of archived segments leave Firestore; unset keeps them in both places."""
    time_zone: str = "Etc/UTC"

    shard_page_bytes: int = Field(384 * 1024, ge=1024, le=512 * 1024)
    """A shard whose registers grow beyond this many bytes is split by learner range."""
    gather_milliseconds: int = Field(150, ge=0, le=2000)
    """How long a shard's first merge waits for company, unless *gather_events* come first."""
    gather_events: int = Field(10, ge=1, le=500)
    merge_seconds: float = Field(1.0, ge=0.0, le=10.0)
    """The least time between two merges into one shard, unless *crowd_events* wait."""
    crowd_events: int = Field(500, ge=1, le=2000)
    rollup_seconds: float = Field(1.0, ge=0.0, le=60.0)
    """The least time between two writes of one assignment document."""

    rate_limiting: bool = True
    limiter: Literal["memory", "firestore", "redis"] = "firestore"
    """What counts calls over all instances; ``memory`` is right for exactly one."""
    redis_url: SecretStr = SecretStr("")
    """``redis://[:password@]host:port/number``, or ``rediss://``; for whatever is told to use Redis."""
    trusted_hops: int | None = Field(None, ge=0, le=8)
    """
    How many proxies of ours append to ``X-Forwarded-For``: 0 none, 1 Cloud Run by itself, 2 behind an
    external load balancer. Unset: 1 on Cloud Run, 0 elsewhere.
    """
    tier: Literal["small", "medium", "large"] = "small"
    """How many learners: up to 1,000, to 10,000, more."""
    rate_window_seconds: int = Field(60, ge=10, le=3600)
    rate_call_points: int = Field(6000, ge=1)
    """Calls per window and user of functions without a class of their own, in each instance."""
    rate_ip_points: int = Field(60_000, ge=1)
    """Calls per window and address, before sign-in, in each instance: a school may have one address."""
    rate_ai_points: int | None = Field(None, ge=1)
    """Calls of AI functions per window and user; unset: 10, and 20 in tiers above small."""
    rate_lesson_points: int = Field(10, ge=1)
    rate_upload_points: int = Field(5, ge=1)
    rate_shared_ip_points: int = Field(6000, ge=1)
    """Calls per window and address of each class that all instances count together."""

    budgets: Literal["memory", "firestore"] = "firestore"
    """What keeps money; ``memory`` is right for exactly one instance that never ends."""
    budget_learner_day_nanos: int = Field(250_000_000, ge=0)
    budget_class_day_nanos: int = Field(5_000_000_000, ge=0)
    budget_course_day_nanos: int = Field(10_000_000_000, ge=0)
    budget_tenant_day_nanos: int = Field(50_000_000_000, ge=0)
    budget_tenant_month_nanos: int = Field(500_000_000_000, ge=0)
    """Ceilings in nano-dollars (1 USD = 1,000,000,000); documents ``budgets/{scope}.{id}`` come first."""
    prices: dict[str, tuple[int, int, int] | tuple[int, int, int, int]] = Field(default_factory=dict)
    """
    Nano-dollars per token by model, as JSON ``{model: [prompt, cached prompt, completion]}``, with a
    fourth for a prompt that is put into the provider's cache; comes before the built-in table.
    """

    batch_percent: int = Field(50, ge=1, le=100)
    """What the provider bills in a batch, in per cent of its price."""

    @property
    def hops(self) -> int:
        """How many proxies' word to take for a client's address."""
        if self.trusted_hops is not None:
            return self.trusted_hops
        return 1 if self.cloud_run_service else 0

    @property
    def ai_points_of_tier(self) -> int:
        """Calls of AI functions per window and user."""
        return 10 if self.tier == "small" else 20

    openai_base_url: str = "https://api.openai.com/v1"
    """Where the provider of models is, or any other server of OpenAI's interface; never a client's choice."""
    openai_api_key: SecretStr = SecretStr("")
    """The provider's key. Without one (or ``none``), only the built-in tutor on this machine is asked."""
    openai_ca_file: str = ""
    """Authorities to trust for the provider's certificate, in PEM, in the place of the system's."""
    small_model: str = "gpt-6-luna"
    large_model: str = "gpt-6.1-terra"
    reasoning_effort: Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"] = "none"
    """
    How long models that reason do so before they reply, in tokens that are billed and count against
    the longest reply. Empty: left to the provider.
    """
    embedding_model: str = "text-embedding-3-small"
    gateway_connections: int = Field(50, ge=1, le=1000)
    """The most connections of one process to the provider."""
    gateway_connections_kept: int = Field(10, ge=0, le=1000)
    gateway_idle_seconds: float = Field(300.0, ge=1.0, le=3600.0)
    """How long the connections kept may go without work."""

    cache: Literal["memory", "firestore", "redis"] = "memory"
    """Where replies are kept besides each process's memory, and instances agree who asks."""
    cache_entries: int = Field(1000, ge=1, le=1_000_000)
    """How many replies each process keeps in memory."""
    lesson_cache: bool = True
    """Whether outlines and steps that were written once are served to everybody who asks for the same."""
    lesson_cache_seconds: int = Field(86_400, ge=60, le=30 * 86_400)
    cache_key: SecretStr = SecretStr("")
    """Seals the names of cached replies; unset: derived from *receipt_key*."""
    evaluation_batches: Literal["auto", "never"] = "auto"
    """Whether queued evaluations go to the provider in batches; by themselves, where it takes none."""
    evaluation_batch_items: int = Field(200, ge=1, le=200)
    """How many queued evaluations one batch has: fewer, where the provider lets few tokens wait."""
    evaluations_alone: int = Field(5, ge=0, le=20)
    """How many queued evaluations one run asks for by themselves, at the normal price."""
    proxy_seconds: float = Field(60.0, ge=0.1, le=115.0)
    """How long a reply through ``openai_proxy`` may take, streams included."""
    proxy_student_tokens: int = Field(1024, ge=1)
    proxy_teacher_tokens: int = Field(4096, ge=1)
    """The most tokens of a reply through ``openai_proxy``, by role."""

    @property
    def provider_key(self) -> str:
        """The provider's key, or nothing; a deployed secret cannot be empty, and says ``none``."""
        key = self.openai_api_key.get_secret_value().strip()
        return "" if key == "none" else key

    @property
    def built_in_tutor(self) -> bool:
        """Whether the provider is the built-in tutor: on this machine, and without a key."""
        host = urlsplit(self.openai_base_url).hostname
        return host in {"127.0.0.1", "localhost", "::1"} and not self.provider_key

    @property
    def emulated(self) -> bool:
        """Whether any Google service is replaced by an emulator."""
        return bool(self.firestore_emulator_host or self.pubsub_emulator_host or self.auth_emulator_host)

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        environment = {name.lower(): text for name, text in os.environ.items()}  # noqa: TID251  the one place
        found: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            key = name if field.validation_alias is None else str(field.validation_alias)
            own = environment.get(_OWN + name)
            text = own if key == name else environment.get(key.lower(), own)
            if text is not None and name not in given:
                listed = get_origin(field.annotation) in {tuple, dict}
                found[key] = _parsed(name, text) if listed else text
        return found | given

    @model_validator(mode="after")
    def _no_emulator_in_the_cloud(self) -> "Settings":
        # firebase-tools names a Cloud Run service too, when it emulates functions.
        rehearsing = self.functions_emulator and self.project.startswith("demo-")
        if self.emulated and (self.cloud_run_service or self.cloud_run_revision) and not rehearsing:
            message = "an emulator variable is set on Cloud Run, where it would accept unsigned tokens"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _redis_has_a_url(self) -> "Settings":
        for name in ("limiter", "cache"):
            if getattr(self, name) == "redis" and not self.redis_url.get_secret_value():
                message = f"{name} is redis, and redis_url is empty"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _keys_are_long_enough(self) -> "Settings":
        for name in ("receipt_key", "ingest_key"):
            secret: SecretStr = getattr(self, name)
            if secret and len(secret.get_secret_value()) < 32:  # noqa: PLR2004  the docstring's number
                message = f"{name} is shorter than 32 characters"
                raise ValueError(message)
        return self


def _parsed(name: str, text: str) -> object:
    """
    The list or map that a variable holds as JSON.

    Raises:
        ValueError: it is no JSON; what it is instead is not repeated.
    """
    try:
        return json.loads(text)
    except ValueError:
        message = f"{name} is not JSON"
        raise ValueError(message) from None


@cache
def get_settings() -> Settings:
    """Read the environment once, on first use."""
    return Settings()
