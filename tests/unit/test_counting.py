"""Figures are written down exactly as by the library that writes them."""

import prometheus_client
import pytest

from shared import counting

AMOUNTS = (0.001, 0.005, 0.3, 1, 7, 1e9, 0)


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_790_000_000.25)


def _written(library) -> str:
    registry = library.CollectorRegistry()
    counted = library.Counter(
        "lectern_calls", 'What "came" \\ when.', ["function", "status"], registry=registry
    )
    alone = library.Counter("lectern_lost", "Lost.", registry=registry)
    library.Counter("lectern_never", "Never counted.", ["function"], registry=registry)
    level = library.Gauge("lectern_open", "Open.", registry=registry)
    levels = library.Gauge("lectern_kept", "Kept.", ["kind"], registry=registry)
    spread = library.Histogram(
        "lectern_seconds", "Time.", ["function"], buckets=(0.005, 0.1, 1, 10), registry=registry
    )
    counted.labels("submit", "202").inc()
    counted.labels("submit", "202").inc(2)
    counted.labels('a"b\n\\', "500").inc(0.5)
    alone.inc(3)
    level.set(2)
    levels.labels("b").set(1)
    levels.labels("a").set(-1.5)
    for amount in AMOUNTS:
        spread.labels("submit").observe(amount)
    return prometheus_client.generate_latest(registry).decode()


def test_figures_are_written_as_the_library_writes_its_own():
    assert _written(counting) == _written(prometheus_client)


@pytest.mark.parametrize("library", [counting, prometheus_client])
def test_what_makes_no_sense_is_refused(library):
    registry = library.CollectorRegistry()
    counted = library.Counter("lectern_calls", "Calls.", ["function"], registry=registry)
    with pytest.raises(ValueError):
        counted.labels("submit", "202")
    with pytest.raises(ValueError):
        counted.inc()
    with pytest.raises(ValueError):
        counted.labels("submit").inc(-1)


@pytest.mark.parametrize("library", [counting, prometheus_client])
def test_one_figure_is_found_by_name_and_labels(library):
    registry = library.CollectorRegistry()
    counted = library.Counter("lectern_calls", "Calls.", ["function", "status"], registry=registry)
    counted.labels("submit", "202").inc(3)
    find = registry.get_sample_value
    assert find("lectern_calls_total", {"status": "202", "function": "submit"}) == 3
    assert find("lectern_calls_total", {"function": "submit"}) is None
    assert find("lectern_calls", {"status": "202", "function": "submit"}) is None
