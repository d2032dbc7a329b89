"""
What Google charges, as data: US dollars, list prices, without free quotas and discounts.

As of 2026-11-20, from these pages:

- Firestore, Standard edition: https://firebase.google.com/docs/firestore/pricing, which lists 0.06, 0.18
  and 0.02 per 100,000 for the United States multi-region and half of that for a single region there
  (Oregon). The model reckons with the dearer one.
- Cloud Run functions: https://cloud.google.com/run/pricing, tier 1 regions, CPU during requests. Idle
  instances that are kept (minimum instances) cost less for the processor, the same for memory.
- Pub/Sub: https://cloud.google.com/pubsub/pricing, Message Delivery Basic: per TiB published and per TiB
  delivered, at least 1,000 bytes a request.
"""

from dataclasses import dataclass

DATE = "2026-11-20"
TIB = 2**40
SECONDS_A_MONTH = 730 * 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Dollars for one of each."""

    read: float
    write: float
    delete: float
    request: float
    cpu_second: float
    idle_cpu_second: float
    gib_second: float
    pubsub_byte: float


_RUN = {
    "request": 0.40 / 1_000_000,
    "cpu_second": 0.000024,
    "idle_cpu_second": 0.0000025,
    "gib_second": 0.0000025,
    "pubsub_byte": 40 / TIB,
}
US_MULTI_REGION = Prices(read=0.06 / 100_000, write=0.18 / 100_000, delete=0.02 / 100_000, **_RUN)
US_REGION = Prices(read=0.03 / 100_000, write=0.09 / 100_000, delete=0.01 / 100_000, **_RUN)


def kept_instance(prices: Prices, *, cpus: float = 1.0, memory_mib: int = 512) -> float:
    """Dollars a month for an instance that is kept and has nothing to do."""
    gib = memory_mib / 1024
    return SECONDS_A_MONTH * (cpus * prices.idle_cpu_second + gib * prices.gib_second)
