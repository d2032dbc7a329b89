"""
Measures, prints a table, writes ``bench/results.json``.

``python -m tests.bench [--quick] [submitting merging billing growing starting whole gateway limiting]``: everything by default.
Every figure has a baseline of the same run or a goal beside it; absolute times are only good on a quiet machine.
"""

import argparse
import asyncio
import gc
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from local.emulators import choose_ports, start
from local.ports import Ports
from local.processes import children
from tests.bench import billing, gateway, growing, limiting, merging, starting, submitting, whole
from tests.bench.report import Report

PARTS = {
    "merging": merging.measure,
    "billing": billing.measure,
    "growing": growing.measure,
    "submitting": submitting.measure,
    "starting": starting.measure,
    "whole": whole.measure,
    "gateway": gateway.measure,
    "limiting": limiting.measure,
}


async def run(names: list[str], *, quick: bool) -> int:
    """Measure the parts of these *names*."""
    report = Report()
    gc.set_threshold(50_000, 20, 100)  # as shared/wiring.py sets it for every function
    with TemporaryDirectory() as folder:
        async with children(logs=Path(folder)) as started:
            at = choose_ports(Ports())
            # Close to its bound it would collect garbage all the time, and that would be what is measured.
            await start(started, at, heap="6g")
            environment = at.environment()
            os.environ.update(environment)
            for name in names:
                await PARTS[name](environment, report, quick=quick)
    return report.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    arguments = parser.parse_args()
    sys.exit(asyncio.run(run(arguments.parts or list(PARTS), quick=arguments.quick)))
