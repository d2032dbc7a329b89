"""What ``/metrics`` answers."""

from prometheus_client import generate_latest

from shared import metrics
from shared.documents.metering import KINDS, TOTAL


def render() -> bytes:
    """Everything counted in this process, in Prometheus' text format."""
    for kind in KINDS:
        metrics.firestore_operations.labels(kind).set(getattr(TOTAL, kind))
    return generate_latest(metrics.REGISTRY)
