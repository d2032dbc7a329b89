"""The table and ``bench/results.json``."""

import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

GOALS = {
    "submit_rate_ratio_64": (">=", 2.0),
    "submit_p95_ms_100_users": ("<=", 500.0),
    "submit_errors_1000_users": ("<=", 0.0),
    "merge_vs_commit_ceiling": (">=", 0.5),
    "merge_answers_per_s_alone": (">=", 8000.0),
    "rebuild_events_per_s": (">=", 100_000.0),
    "swept_fraction": ("<=", 0.01),
    "merge_two_workers_ratio": (">=", 1.2),
    "merge_commits_lost": ("<=", 0.02),
    "merge_events_per_s_under_load": (">=", 2000.0),
    "billed_ops_per_answer": ("<=", 2.1),
    "billed_ops_per_answer_by_browser": ("<=", 3.1),
    "flatness_answers_100k": ("<=", 1.15),
    "flatness_assignments_1000": ("<=", 1.15),
    "visible_p95_s": ("<=", 2.0),
    "cold_start_ratio": ("<=", 1.6),
    "gateway_vs_litellm_rate_16": (">=", 25.0),
    "gateway_vs_portkey_rate_16": (">=", 3.0),
    "gateway_added_p50_ms_1": ("<=", 1.5),
    "gateway_added_p50_ms_16": ("<=", 3.0),
    "gateway_added_ttft_ms_1": ("<=", 1.2),
    "gateway_added_ttft_ms_16": ("<=", 2.0),
    "gateway_added_ttft_ms_64": ("<=", 3.0),
    "gateway_hit_vs_litellm": (">=", 50.0),
    "gateway_identical_upstream_calls": ("<=", 1.0),
    "limiter_store_trips_per_check": ("<=", 0.1),
    "limiter_over_admitted": ("<=", 0.0),
    "limiter_used": (">=", 0.95),
}


class Report:
    """What was measured."""

    def __init__(self) -> None:
        self.measurements: dict[str, float] = {}
        self._rows: list[tuple[str, str, str]] = []

    def row(self, what: str, ours: str, beside: str) -> None:
        """A line of the table; *beside* is the baseline of the same run, or the goal."""
        self._rows.append((what, ours, beside))
        print(f"{what:<44} {ours:<48} {beside}", flush=True)

    def measured(self, name: str, value: float) -> None:
        """A figure for ``results.json``."""
        self.measurements[name] = round(float(value), 4)

    def finish(self) -> int:
        """Write the file, say which goals were missed; the exit status is 0 either way."""
        print()
        for name, (sign, goal) in GOALS.items():
            value = self.measurements.get(name)
            if value is None:
                verdict = "not measured"
            else:
                met = value >= goal if sign == ">=" else value <= goal
                verdict = f"{value:,.4g} {'met' if met else 'MISSED'}"
            print(f"{name:<34} {sign} {goal:<10,.6g} {verdict}")
        folder = ROOT / "bench"
        folder.mkdir(exist_ok=True)
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
        machine = {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "load_before": os.getloadavg()[2],
        }
        result = {"measurements": self.measurements, "machine": machine, "commit": commit}
        (folder / "results.json").write_text(json.dumps(result, indent=2) + "\n")
        return 0
