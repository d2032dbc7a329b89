"""
Counters, gauges and histograms, as ``prometheus_client`` has them, which is loaded only to write them down.

Every function counts and hardly any process is asked for its figures, while the library brings a web server
and what else it takes to serve them.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_lock = Lock()


class Count:
    """What only grows."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.value = 0.0
        self.created = time.time()

    def inc(self, amount: float = 1) -> None:
        """
        Add *amount*.

        Raises:
            ValueError: it is negative.
        """
        if amount < 0:
            message = "a counter only grows"
            raise ValueError(message)
        with _lock:
            self.value += amount

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Suffix, further labels and value of each figure."""
        yield "_total", {}, self.value
        yield "_created", {}, self.created


class Level:
    """What goes up and down."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.value = 0.0

    def set(self, value: float) -> None:
        """Say what it is now."""
        self.value = float(value)

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Suffix, further labels and value of each figure."""
        yield "", {}, self.value


class Distribution:
    """How often what was observed lay below each of some bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count up to each of *bounds*, which rise, and beyond."""
        self._bounds = (*map(float, bounds), float("inf"))
        self._counts = [0.0] * len(self._bounds)
        self._sum = 0.0
        self._created = time.time()

    def observe(self, amount: float) -> None:
        """Count *amount*."""
        with _lock:
            self._sum += amount
            self._counts[bisect_left(self._bounds, amount)] += 1

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Suffix, further labels and value of each figure."""
        for bound, count in zip(self._bounds, accumulate(self._counts), strict=True):
            yield "_bucket", {"le": "+Inf" if bound == float("inf") else str(bound)}, count
        yield "_count", {}, sum(self._counts)
        yield "_sum", {}, self._sum
        yield "_created", {}, self._created


class CollectorRegistry:
    """All that a process counts; prometheus_client's ``generate_latest`` writes it down."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.families: list[Counter | Gauge | Histogram] = []

    def collect(self) -> "Iterator[Metric]":
        """Each family, in the library's terms."""
        for family in self.families:
            yield family.collect()

    def get_sample_value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """The figure of that full *name* and exactly these *labels*, or None."""
        for metric in self.collect():
            for sample in metric.samples:
                if sample.name == name and sample.labels == (labels or {}):
                    return float(sample.value)
        return None


ChildT = TypeVar("ChildT", Count, Level, Distribution)


class _Family(Generic[ChildT]):
    """One figure for each combination of values that its labels had."""

    kind = ""

    def __init__(self, name: str, text: str, labels: Sequence[str], child: Callable[[], ChildT]) -> None:
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._child: Callable[[], ChildT] = child
        self._children: dict[tuple[str, ...], ChildT] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> ChildT:
        """
        The figure of these values, in the order of the labels.

        Raises:
            ValueError: there are more or fewer labels.
        """
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self._labels):
                message = f"{self._name} has the labels {self._labels}"
                raise ValueError(message)
            child = self._children.setdefault(values, self._child())
        return child

    def collect(self) -> "Metric":
        """All of it, in the library's terms."""
        from prometheus_client.metrics_core import Metric

        metric = Metric(self._name, self._text, self.kind)
        for values, child in self._children.copy().items():
            mine = dict(zip(self._labels, values, strict=True))
            for suffix, more, value in child.samples():
                metric.add_sample(self._name + suffix, mine | more, value)
        return metric


class Counter(_Family[Count]):
    """Figures that only grow."""

    kind = "counter"

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        """Name it, describe it in *text*, and add it to *registry*."""
        super().__init__(name, text, labels, Count)
        registry.families.append(self)

    def inc(self, amount: float = 1) -> None:
        """Add *amount*; for one without labels."""
        self.labels().inc(amount)


class Gauge(_Family[Level]):
    """Figures that go up and down."""

    kind = "gauge"

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        """Name it, describe it in *text*, and add it to *registry*."""
        super().__init__(name, text, labels, Level)
        registry.families.append(self)

    def set(self, value: float) -> None:
        """Say what it is now; for one without labels."""
        self.labels().set(value)


class Histogram(_Family[Distribution]):
    """How what was observed is distributed."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """Name it, describe it in *text*, and add it to *registry*; *buckets* are upper bounds that rise."""
        super().__init__(name, text, labels, lambda: Distribution(buckets))
        registry.families.append(self)
