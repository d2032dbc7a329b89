"""
``infra/monitoring.tf.json`` and ``docs/operations.md``: what is watched in the cloud, from one table.

Counters of an instance end with it, so what is watched there is what outlives one: log lines, by name, and
what Cloud Run and Firestore count themselves. Objectives have two alarms each, by how fast they use up what
may go wrong in 28 days (Google's "Site Reliability Workbook", chapter 5): fast, 14.4 times too fast for an
hour, and slow, 6 times for six hours.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.edge.registry import Deployment
from tooling.generate import erasing


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """*event*, a log line, comes more than *more_than* times in *minutes*: then *meaning*, and *remedy*."""

    event: str
    meaning: str
    remedy: str
    more_than: int = 0
    minutes: int = 5
    unless: str = ""
    """A filter for lines that are not counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Of the requests to *function*, *share* end within *milliseconds* and without a fault of ours."""

    function: str
    milliseconds: int
    share: float = 0.99


ALARMS = (
    Alarm(
        event="answers_swept",
        more_than=3,
        minutes=30,
        meaning="messages are lost, and the sweep merges what they should have brought",
        remedy="look at Pub/Sub's errors and at merge_answers; answers are only late",
    ),
    Alarm(
        event="doorbell_lost",
        more_than=20,
        meaning="Pub/Sub takes no messages; the sweep merges instead",
        remedy="look at Pub/Sub's status; answers are only late",
    ),
    Alarm(
        event="answers_not_swept",
        meaning="answers of an assignment wait, and cannot be merged; those of others are",
        remedy="the line names the assignment and has the stack; report it",
    ),
    Alarm(
        event="document_not_set_aside",
        meaning="a document that is no answer stays in the way; the sweep goes round it",
        remedy="the line has the stack; report it",
    ),
    Alarm(
        event="assignment_not_tidied",
        meaning="an assignment's segments are not joined, archived or counted again",
        remedy="the line names it and has the stack; answers and figures are not touched",
    ),
    Alarm(
        event="clean_up_incomplete",
        meaning="a part of the daily clean-up failed; the others were done, and it is tried again",
        remedy="the lines before it say which",
    ),
    Alarm(
        event="recount_differs",
        meaning="the clean-up counts other answers than are shown",
        remedy="call rebuild_assignment for the assignment of the line, and report it",
    ),
    Alarm(
        event="erasure_incomplete",
        meaning="a learner is to be erased, and something cannot be reached; the rest was gone through",
        remedy="the line names the erasure and has the stack; it is tried again every hour",
    ),
    Alarm(
        event="erasure_kept_nowhere_else",
        meaning="a learner was erased, and nothing outside the database knows it",
        remedy="a backup would bring them back: set LECTERN_ARCHIVE_URL, and ask for the erasure again",
    ),
    Alarm(
        event="message_set_aside",
        meaning="a message is no answer, and lies in deadLetters",
        remedy="read it there; `python -m tooling.dead_letters` sends it again",
    ),
    Alarm(
        event="request_crashed",
        meaning="a fault in a function of ours: callers got a 500",
        remedy="the line has the stack; report it",
    ),
    Alarm(
        event="budget_threshold",
        unless='jsonPayload.scope="learner"',
        meaning="half, four fifths or all of a course's, class's or tenant's ceiling is spent",
        remedy="the line names it; raise it, or stop everything with budgets/killSwitch",
    ),
    Alarm(
        event="reservation_orphaned",
        meaning="money was reserved for a call of which nothing was heard again",
        remedy="it counts as spent until the period ends; many mean that instances are killed",
    ),
    Alarm(
        event="settlement_lost",
        more_than=5,
        meaning="what calls did cost could not be noted; they count as their worst case",
        remedy="look at Firestore's errors",
    ),
    Alarm(
        event="spend_entry_lost",
        meaning="a call is missing in the exported ledger; the sums hold it",
        remedy="look at Firestore's errors",
    ),
    Alarm(
        event="provider_refused",
        meaning="the provider of models refuses the key, the address or the account",
        remedy="look at LECTERN_OPENAI_API_KEY and the provider's bill",
    ),
    Alarm(
        event="provider_failed",
        more_than=20,
        meaning="the provider of models does not answer properly",
        remedy="look at its status; what is kept is still served",
    ),
    Alarm(
        event="batch_taken_twice",
        meaning="the provider took a batch of evaluations twice; both are counted, one was cancelled",
        remedy="look at its list of batches; nothing has to be done if it happens once",
    ),
    Alarm(
        event="batch_given_up",
        meaning="a batch of evaluations could not be handed in for three hours; its items wait again",
        remedy="look at the provider's status, and at provider_failed",
    ),
    Alarm(
        event="batch_too_large",
        more_than=3,
        minutes=240,
        meaning="the provider refuses batches because too many tokens wait; evaluations are only late",
        remedy="lower LECTERN_EVALUATION_BATCH_ITEMS, or ask the provider for a higher limit",
    ),
    Alarm(
        event="evaluations_given_up",
        more_than=20,
        meaning="queued evaluations failed three times; teachers see which",
        remedy="look at the provider's errors for batches; teachers queue them again",
    ),
    Alarm(
        event="cache_unavailable",
        more_than=20,
        meaning="the shared cache is away: everything is asked of models again",
        remedy="look at Redis, or at Firestore's errors",
    ),
)
OBJECTIVES = (
    Objective(function="submit_answer", milliseconds=500),
    Objective(function="submit_answers", milliseconds=2_000),
    Objective(function="get_assignment", milliseconds=200, share=0.95),
    Objective(function="my_results", milliseconds=1_000),
    Objective(function="get_gradebook", milliseconds=1_000),
    Objective(function="evaluate_answer", milliseconds=10_000),
    Objective(function="chat", milliseconds=10_000),
    Objective(function="generate_step", milliseconds=15_000),
    Objective(function="generate_skeleton", milliseconds=30_000),
)
_PERIOD_DAYS = 28
_BURNS = (("fast", 14.4, 60), ("slow", 6, 360))
_NEVER_CLOSES_BEFORE = "1800s"


def service(function: str) -> str:
    """The Cloud Run service of the function of that name."""
    return function.replace("_", "-")


def infrastructure(functions: Sequence[Deployment]) -> str:
    """
    Terraform's JSON for the alarms, the objectives and a dashboard.

    Raises:
        ValueError: an objective is for a function that there is not.
    """
    unknown = {each.function for each in OBJECTIVES} - {each.name for each in functions}
    if unknown:
        message = f"there are objectives for no functions: {sorted(unknown)}"
        raise ValueError(message)
    made = {
        "//": "Made from tooling/generate/monitoring.py by `make generate`; do not edit.",
        "resource": {
            "google_logging_metric": {each.event: _counted(each) for each in ALARMS},
            "google_monitoring_alert_policy": {
                **{each.event: _alarm(each) for each in ALARMS},
                **{
                    f"{each.function}_{kind}_{name}": _burning(each, kind, name, factor, minutes)
                    for each in OBJECTIVES
                    for kind in ("quick", "good")
                    for name, factor, minutes in _BURNS
                },
            },
            "google_monitoring_custom_service": {
                each.function: {
                    "service_id": f"lectern-{service(each.function)}",
                    "display_name": f"Lectern {each.function}",
                }
                for each in OBJECTIVES
            },
            "google_monitoring_slo": {
                f"{each.function}_{kind}": _objective(each, kind)
                for each in OBJECTIVES
                for kind in ("quick", "good")
            },
            "google_monitoring_dashboard": {"lectern": {"dashboard_json": json.dumps(_dashboard())}},
        },
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def table() -> str:
    """The page for whoever is woken."""
    alarms = "\n".join(
        f"| `{each.event}` | {_times(each)} | {each.meaning} | {each.remedy} |" for each in ALARMS
    )
    objectives = "\n".join(
        f"| `{each.function}` | {each.milliseconds:,} ms | {each.share:.0%} |" for each in OBJECTIVES
    )
    return f"""# Operations

Made from `tooling/generate/monitoring.py` by `make generate`; do not edit.

`terraform apply` in `infra/` makes these alarms, told to `alert_email` if that is set, and a dashboard
"Lectern". Each instance's own counters (`/metrics` of `make run`, listed in `shared/metrics.py`) end with it
and are for this machine and for tests; what is watched in the cloud is in its logs, and in what Cloud Run and
Firestore count: requests, latencies, reads, writes and deletes. Hot documents show in Firestore's Key
Visualizer; documents and storage in its usage page.

## Alarms by log line

| line | more than | what it means | what to do |
|---|---|---|---|
{alarms}

## Objectives

Over {_PERIOD_DAYS} days, and twice: replies within the time, and {_GOOD_SHARE:.1%} of replies without a fault
of ours (5xx). An alarm comes when what may go wrong in that time is used up 14.4 times too fast for an hour,
or 6 times for six hours.

| function | replies within | share |
|---|---|---|
{objectives}

{erasing.section()}"""


def _times(alarm: Alarm) -> str:
    return f"{alarm.more_than} in {alarm.minutes} min"


def _counted(alarm: Alarm) -> dict[str, Any]:
    return {
        "name": f"lectern/{alarm.event}",
        "filter": f'resource.type="cloud_run_revision" AND jsonPayload.message="{alarm.event}"'
        + (f" AND NOT {alarm.unless}" if alarm.unless else ""),
        "metric_descriptor": {"metric_kind": "DELTA", "value_type": "INT64"},
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    metric = f"${{google_logging_metric.{alarm.event}.name}}"
    return {
        "display_name": f"Lectern: {alarm.event}",
        "combiner": "OR",
        "notification_channels": "${google_monitoring_notification_channel.email[*].name}",
        "alert_strategy": {"auto_close": _NEVER_CLOSES_BEFORE},
        "documentation": {"content": f"{alarm.meaning}: {alarm.remedy}.", "mime_type": "text/markdown"},
        "conditions": {
            "display_name": f"more than {_times(alarm)}",
            "condition_threshold": {
                "filter": (
                    f'metric.type="logging.googleapis.com/user/{metric}" '
                    'AND resource.type="cloud_run_revision"'
                ),
                "comparison": "COMPARISON_GT",
                "threshold_value": alarm.more_than,
                "duration": "0s",
                "aggregations": {
                    "alignment_period": f"{60 * alarm.minutes}s",
                    "per_series_aligner": "ALIGN_DELTA",
                    "cross_series_reducer": "REDUCE_SUM",
                },
            },
        },
    }


def _objective(objective: Objective, kind: str) -> dict[str, Any]:
    requests = (
        f'resource.type="cloud_run_revision" AND resource.labels.service_name="{service(objective.function)}"'
    )
    if kind == "quick":
        indicator: dict[str, Any] = {
            "distribution_cut": {
                "distribution_filter": f'metric.type="run.googleapis.com/request_latencies" AND {requests}',
                "range": {"max": objective.milliseconds},
            }
        }
        told = f"{objective.share:.0%} within {objective.milliseconds:,} ms"
    else:
        counted = f'metric.type="run.googleapis.com/request_count" AND {requests}'
        indicator = {
            "good_total_ratio": {
                "total_service_filter": counted,
                "bad_service_filter": f'{counted} AND metric.labels.response_code_class="5xx"',
            }
        }
        told = f"{_GOOD_SHARE:.1%} without a fault of ours"
    return {
        "service": f"${{google_monitoring_custom_service.{objective.function}.service_id}}",
        "slo_id": f"{service(objective.function)}-{kind}",
        "display_name": told,
        "goal": objective.share if kind == "quick" else _GOOD_SHARE,
        "rolling_period_days": _PERIOD_DAYS,
        "request_based_sli": indicator,
    }


_GOOD_SHARE = 0.999


def _burning(objective: Objective, kind: str, name: str, factor: float, minutes: int) -> dict[str, Any]:
    slo = f"${{google_monitoring_slo.{objective.function}_{kind}.name}}"
    return {
        "display_name": f"Lectern: {objective.function} is not {kind} enough ({name} burn)",
        "combiner": "OR",
        "notification_channels": "${google_monitoring_notification_channel.email[*].name}",
        "alert_strategy": {"auto_close": _NEVER_CLOSES_BEFORE},
        "conditions": {
            "display_name": f"{factor:g} times too fast for {minutes} min",
            "condition_threshold": {
                "filter": f'select_slo_burn_rate("{slo}", "{60 * minutes}s")',
                "comparison": "COMPARISON_GT",
                "threshold_value": factor,
                "duration": "0s",
            },
        },
    }


def _dashboard() -> dict[str, Any]:
    run, firestore = 'resource.type="cloud_run_revision"', 'resource.type="firestore.googleapis.com/Database"'
    charts = [
        ("Requests by function", f'metric.type="run.googleapis.com/request_count" {run}', "RATE", "SUM"),
        (
            "p99 by function, ms",
            f'metric.type="run.googleapis.com/request_latencies" {run}',
            "DELTA",
            "PERCENTILE_99",
        ),
        ("Instances", f'metric.type="run.googleapis.com/container/instance_count" {run}', "MAX", "SUM"),
        *(
            (
                f"Firestore: {what}",
                f'metric.type="firestore.googleapis.com/document/{what}_ops_count" {firestore}',
                "RATE",
                "SUM",
            )
            for what in ("read", "write", "delete")
        ),
        *(
            (
                f"Log: {each.event}",
                f'metric.type="logging.googleapis.com/user/lectern/{each.event}" {run}',
                "DELTA",
                "SUM",
            )
            for each in ALARMS
        ),
    ]
    tiles = [_chart(number, *each) for number, each in enumerate(charts)]
    return {"displayName": "Lectern", "mosaicLayout": {"columns": 12, "tiles": tiles}}


def _chart(number: int, title: str, metric: str, aligner: str, reducer: str) -> dict[str, Any]:
    by_function = ["resource.label.service_name"] if "cloud_run" in metric else []
    query = {
        "timeSeriesQuery": {
            "timeSeriesFilter": {
                "filter": metric,
                "aggregation": {
                    "alignmentPeriod": "60s",
                    "perSeriesAligner": f"ALIGN_{aligner}",
                    "crossSeriesReducer": f"REDUCE_{reducer}",
                    "groupByFields": by_function,
                },
            }
        },
        "plotType": "LINE",
    }
    return {
        "xPos": 4 * (number % 3),
        "yPos": 4 * (number // 3),
        "width": 4,
        "height": 4,
        "widget": {"title": title, "xyChart": {"dataSets": [query]}},
    }
