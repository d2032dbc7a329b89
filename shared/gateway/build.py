"""Builds a process's gateway from its settings."""

import time

from shared.budgets.base import Budgets
from shared.budgets.prices import PriceTable
from shared.gateway.breaker import Breaker
from shared.gateway.connections import Origin, Pool
from shared.gateway.gateway import Gateway
from shared.gateway.upstream import Upstream
from shared.settings import Settings


def gateway(settings: Settings, budgets: Budgets, prices: PriceTable) -> Gateway:
    """The gateway; one for a process, because its connections and its breaker are shared."""
    key = settings.openai_api_key.get_secret_value()
    pool = Pool(
        Origin.of(settings.openai_base_url),
        most=settings.gateway_connections,
        kept=settings.gateway_connections_kept,
        idle_seconds=settings.gateway_idle_seconds,
    )
    upstream = None
    if key or settings.built_in_tutor:
        upstream = Upstream(
            settings.openai_base_url,
            key,
            pool,
            Breaker(time.monotonic),
            accepts_faults=settings.built_in_tutor,
        )
    return Gateway(
        pool,
        upstream,
        budgets,
        prices,
        models={"small": settings.small_model, "large": settings.large_model},
    )
