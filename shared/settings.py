"""The one reader of the environment."""

from functools import cache
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """
    What differs between one deployment and another.

    Lectern's own variables begin with ``LECTERN_``; those of Google's libraries keep their names.
    """

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="LECTERN_", extra="ignore", populate_by_name=True
    )

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

    @property
    def emulated(self) -> bool:
        """Whether any Google service is replaced by an emulator."""
        return bool(self.firestore_emulator_host or self.pubsub_emulator_host or self.auth_emulator_host)

    @model_validator(mode="after")
    def _no_emulator_in_the_cloud(self) -> "Settings":
        # firebase-tools names a Cloud Run service too, when it emulates functions.
        rehearsing = self.functions_emulator and self.project.startswith("demo-")
        if self.emulated and (self.cloud_run_service or self.cloud_run_revision) and not rehearsing:
            message = "an emulator variable is set on Cloud Run, where it would accept unsigned tokens"
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


@cache
def get_settings() -> Settings:
    """Read the environment once, on first use."""
    return Settings()
