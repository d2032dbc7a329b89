"""What is watched in the cloud is there to be watched, and what is worth a warning is watched."""

import json
import re
from pathlib import Path

import pytest

import main
from shared.edge.registry import deployments
from tooling.generate import monitoring
from tooling.generate.monitoring import ALARMS, OBJECTIVES

ROOT = Path(__file__).parents[2]
UNWATCHED = {
    "limits_met_most": "who is limited is told so; the line says how many hit a limit most",
    "app_check_failed": "whoever has no App Check token is refused or, in monitor mode, let in on purpose",
    "spend_entries_wait": "the entries are tried again; those that are lost have a line of their own",
    "spending_not_reported": "reported with the next call; what stays unreported counts as spent",
    "points_not_returned": "points of a limit that nobody can use come back with its window",
    "evaluations_wait": "what a run left undone the next one does; what never gets done is given up, with an alarm",
    "batch_refused": "its items are asked for again, or given up, with an alarm",
    "batch_lines_unreadable": "what nobody can read counts at its worst, and is asked for again",
    "batch_lines_unknown": "replies to what was never asked are not believed; what was asked is asked again",
    "erasure_waits": "it is on record, and goes on within the hour; when it cannot then, that is told",
    "request_failed": "whoever asked was told, with a 5xx that the objectives count",
}


def logged():
    pattern = re.compile(r'log\.(?:warning|error|exception)\(\s*"([a-z_]+)"')
    files = [path for folder in ("shared", "functions") for path in (ROOT / folder).rglob("*.py")]
    return {name for path in files for name in pattern.findall(path.read_text())}


def test_every_warning_has_an_alarm_or_a_reason():
    alarmed = {each.event for each in ALARMS}
    assert not alarmed & UNWATCHED.keys()
    assert logged() == alarmed | UNWATCHED.keys()


def test_objectives_are_for_functions_and_no_longer_than_they_may_take():
    main.load_all()
    for each in OBJECTIVES:
        assert each.milliseconds <= 1000 * deployments()[each.function].deadline_seconds
        assert monitoring.service(each.function).replace("-", "_") == each.function


def test_the_infrastructure_refers_only_to_itself():
    main.load_all()
    functions = list(deployments().values())
    text = monitoring.infrastructure(functions)
    made = json.loads(text)["resource"]
    by_hand = (ROOT / "infra/main.tf").read_text()
    for kind, name in re.findall(r"\$\{(google_\w+)\.(\w+)[.\[]", text):
        assert name in made.get(kind, {}) or f'resource "{kind}" "{name}"' in by_hand
    assert len(made["google_monitoring_alert_policy"]) == len(ALARMS) + 4 * len(OBJECTIVES)
    dashboard = json.loads(made["google_monitoring_dashboard"]["lectern"]["dashboard_json"])
    places = {(tile["xPos"], tile["yPos"]) for tile in dashboard["mosaicLayout"]["tiles"]}
    assert len(places) == len(dashboard["mosaicLayout"]["tiles"])


def test_an_objective_for_nothing_is_refused():
    with pytest.raises(ValueError, match="submit_answer"):
        monitoring.infrastructure([])
