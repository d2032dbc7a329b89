"""What is remembered of requests by their bytes: nobody gets more by it than without it, and it stays small."""

import pytest

from shared.errors import InvalidRequest, NotAllowed, NotFound
from shared.gateway import allowed
from shared.gateway.allowed import CHAT, REMEMBERED_BYTES, RESPONSES, Allowance, passing
from tests.gateway.served import served

STUDENT = Allowance(("small",), ("embedding",), 100, tools=False)
TEACHER = Allowance(("small", "large"), ("embedding",), 200, tools=True)
TOOLS = b'{"model":"small","messages":[{"role":"user","content":"x"}],"tools":[{}]}'
LARGE = b'{"model":"large","messages":[{"role":"user","content":"x"}]}'


def test_what_a_teacher_may_ask_is_still_refused_to_a_student():
    for raw, error in ((TOOLS, NotAllowed), (LARGE, NotFound)):
        for _ in range(2):
            passing(CHAT, raw, TEACHER)
            with pytest.raises(error):
                passing(CHAT, raw, STUDENT)


def test_the_same_bytes_at_another_path_are_read_anew():
    passing(CHAT, LARGE, TEACHER)
    with pytest.raises(InvalidRequest):
        passing(RESPONSES, LARGE, TEACHER)


def test_a_lower_bound_holds_at_once():
    raw = b'{"model":"small","messages":[{"role":"user","content":"x"}]}'
    assert passing(CHAT, raw, STUDENT).most_tokens == 100
    assert passing(CHAT, raw, STUDENT._replace(most_tokens=7)).most_tokens == 7


def test_large_bodies_are_not_remembered():
    raw = b'{"model":"small","messages":[{"role":"user","content":"%b"}]}' % (b"x" * REMEMBERED_BYTES)
    before = allowed._remembered.cache_info()
    passing(CHAT, raw, STUDENT)
    assert allowed._remembered.cache_info() == before


async def test_the_same_bytes_of_two_learners_have_two_names_and_two_calls(tutor):
    async with served(tutor) as place:
        for uid in ("ann", "ben") * 3:
            assert (await place.chat("the same bytes", uid)).status_code == 200
        assert tutor.total == 2
        names = {kept.owner for kept in place.services.caches._memory._kept.values()}
        assert names == {"ann", "ben"}
