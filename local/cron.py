"""Calls scheduled functions at their times, as Cloud Scheduler would."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from local.posting import Poster, is_success

log = logging.getLogger(__name__)

_LONGEST_SLEEP_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One scheduled function."""

    name: str
    path: str
    schedule: str
    time_zone: str
    timeout_seconds: float

    def next_after(self, moment: datetime) -> datetime:
        """The first time after *moment*, in UTC."""
        local = moment.astimezone(ZoneInfo(self.time_zone))
        return next(CronSim(self.schedule, local)).astimezone(UTC)


async def keep_time(poster: Poster, job: Job) -> None:
    """Post at each of *job*'s times until cancelled; times that pass while the machine sleeps are skipped."""
    due = job.next_after(datetime.now(UTC))
    while True:
        left = (due - datetime.now(UTC)).total_seconds()
        if left > 0:
            await asyncio.sleep(min(left, _LONGEST_SLEEP_SECONDS))
            continue
        if left > -_LONGEST_SLEEP_SECONDS:
            await _call(poster, job, due)
        due = job.next_after(datetime.now(UTC))


async def _call(poster: Poster, job: Job, due: datetime) -> None:
    headers = {
        "content-type": "application/octet-stream",
        "user-agent": "Google-Cloud-Scheduler",
        "x-cloudscheduler": "true",
        "x-cloudscheduler-jobname": job.name,
        "x-cloudscheduler-scheduletime": due.isoformat(),
    }
    try:
        status = await poster.post(job.path, b"", headers, timeout_seconds=job.timeout_seconds)
    except (OSError, TimeoutError) as error:
        log.warning("schedule_failed job=%s error=%r", job.name, error)
    else:
        log.log(
            logging.INFO if is_success(status) else logging.WARNING,
            "schedule job=%s status=%d",
            job.name,
            status,
        )
