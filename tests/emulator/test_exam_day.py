"""A minute of an exam: a thousand learners, then a deadline; no answer fails, is lost or counts twice (G12)."""

from tests.load.__main__ import exam_day, prepare

SECONDS = 60.0
TIMED = "http_req_duration"


async def test_a_thousand_learners_and_a_deadline(stack):
    school = await prepare(stack)
    found = {each.name: each for each in await exam_day(school, SECONDS)}
    # How long requests take is for `python -m tests.load`, on a machine that does nothing else.
    crossed = {name: each.seen for name, each in found.items() if not each.holds and TIMED not in name}
    assert not crossed
    assert len(found) == 7
