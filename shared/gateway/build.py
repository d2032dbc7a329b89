"""Builds a process's parts of the gateway from its settings."""

import time

from shared.gateway.allowed import Allowance
from shared.gateway.breaker import Breaker
from shared.gateway.connections import Origin, Pool
from shared.gateway.upstream import Upstream
from shared.settings import Settings


def upstream(settings: Settings) -> Upstream | None:
    """The provider, as one process speaks to it; None where none is set up."""
    key = settings.provider_key
    if not key and not settings.built_in_tutor:
        return None
    pool = Pool(
        Origin.of(settings.openai_base_url),
        most=settings.gateway_connections,
        kept=settings.gateway_connections_kept,
        idle_seconds=settings.gateway_idle_seconds,
        ca_file=settings.openai_ca_file,
    )
    breaker = Breaker(time.monotonic)
    return Upstream(settings.openai_base_url, key, pool, breaker, accepts_faults=settings.built_in_tutor)


def models(settings: Settings) -> dict[str, str]:
    """The models by size."""
    return {"small": settings.small_model, "large": settings.large_model}


def allowance(settings: Settings, *, teacher: bool) -> Allowance:
    """What clients of the proxy may ask."""
    embeddings = (settings.embedding_model,)
    if not teacher:
        names: tuple[str, ...] = (settings.small_model,)
        return Allowance(
            names, embeddings, settings.proxy_student_tokens, tools=False, effort=settings.reasoning_effort
        )
    names = tuple(dict.fromkeys([settings.small_model, settings.large_model]))
    return Allowance(
        names, embeddings, settings.proxy_teacher_tokens, tools=True, effort=settings.reasoning_effort
    )
