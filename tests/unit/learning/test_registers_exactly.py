"""Registers by example: what a batch comes to, to the last unit, and where they stop growing."""

import pytest

from shared.errors import InvalidRequest
from shared.learning.answers import AnswerSubmitted
from shared.learning.assignments import Assignment, Grading
from shared.learning.attempts import AttemptsPolicy
from shared.learning.importing.parsing import parse
from shared.learning.marks import mark
from shared.learning.questions import FULL_CREDIT
from shared.learning.registers import MAX_ATTEMPTS_KEPT, MAX_REPEATS_KEPT, Registers
from shared.learning.segments import ordered, pack, pack_erasure
from shared.learning.sharding import WHOLE, position
from tests.unit.learning.test_registers import event, grading


def mark_of(learner):
    return mark(b"key", learner)


SCHOOL = [
    event("ann", "q0", "a", 1, "s1"),
    event("ann", "q1", "b", 2, "s2"),
    event("ann", "q2", "c", 3, "s3"),
    event("bob", "q0", "d", 1, "s1"),
    event("bob", "q1", "c", 2, "s2"),
    event("bob", "q2", "a", 3, "s3"),
    event("cid", "q0", "c", 4, "s1"),
    event("ann", "essay", "", 5, "s4"),
    event("ann", "q0", "c", 6, "s5"),
]


def filled(events=SCHOOL, **policy):
    registers = Registers(grading(**policy))
    folded = registers.fold(events)
    return registers, folded


def test_a_batch_says_what_was_new_known_and_unusable():
    registers, folded = filled([*SCHOOL, *SCHOOL[:3]])
    assert (len(folded.applied), folded.duplicates, folded.refused) == (len(SCHOOL), 3, [])
    assert folded.applied == ordered(SCHOOL)
    again = registers.fold(SCHOOL)
    assert (again.applied, again.duplicates, again.refused) == ([], len(SCHOOL), [])
    foreign = event("ann", "q0", "a", 1, "s9")
    object.__setattr__(foreign, "assignment_id", "other")
    bad = [event("ann", "none", "a", 1, "s1"), event("ann", "q0", "no option", 1, "s8"), foreign]
    refused = registers.fold(bad)
    assert (refused.applied, refused.duplicates) == ([], 0)
    assert [each.event for each in refused.refused] == bad
    assert "another assignment" in refused.refused[2].reason
    assert registers.events == len(SCHOOL)


def test_the_sums_are_exact():
    registers, _ = filled()
    sums = registers.sums
    half, quarter = FULL_CREDIT // 2, FULL_CREDIT // 4
    assert (sums.students, sums.answers, sums.complete, registers.events) == (3, 8, 2, 9)
    q0, q1, q2, essay = sums.items
    assert [each.answered for each in sums.items] == [3, 2, 2, 1]
    assert [each.graded for each in sums.items] == [3, 2, 2, 0]
    assert (q0.credit, q0.correct) == (half - quarter + half, 0)
    assert (q1.credit, q1.correct) == (half, 0)
    assert (q2.credit, q2.correct) == (half + FULL_CREDIT, 1)
    assert (essay.credit, essay.correct) == (0, 0)
    ann = [half * 1000, 0, half * 125]
    bob = [-quarter * 1000, half * 2500, FULL_CREDIT * 125]
    assert sums.total == sum(ann) + sum(bob)
    assert sums.total_squares == sum(ann) ** 2 + sum(bob) ** 2
    for item, mine, theirs in zip((q0, q1, q2), ann, bob, strict=True):
        assert item.scores == mine + theirs
        assert item.squares == mine**2 + theirs**2
        assert item.products == mine * sum(ann) + theirs * sum(bob)
    assert q0.options == [0, 0, 2, 1]


@pytest.mark.parametrize(
    ("policy", "limit", "credit"),
    [
        (AttemptsPolicy.LAST, None, FULL_CREDIT // 2),
        (AttemptsPolicy.FIRST, None, FULL_CREDIT),
        (AttemptsPolicy.BEST, None, FULL_CREDIT),
        (AttemptsPolicy.LAST, 1, FULL_CREDIT),
    ],
)
def test_the_attempt_that_counts_follows_the_policy_whatever_came_first(policy, limit, credit):
    for events in (SCHOOL, SCHOOL[::-1]):
        registers, _ = filled(events, policy=policy, max_attempts=limit)
        assert registers.rows["ann"].effective[0].credit == credit
        assert registers.sums == filled(policy=policy, max_attempts=limit)[0].sums


def test_a_replay_counted_at_the_end_is_the_same():
    registers, _ = filled()
    replayed = Registers(grading())
    replayed.replay(pack("a1", [*SCHOOL, *SCHOOL]), mark_of)
    replayed.recount()
    assert replayed.sums == registers.sums
    assert replayed.events == registers.events
    assert replayed.encode() == registers.encode()
    replayed.fold([event("cid", "q1", "a", 7, "s2"), event("cid", "q2", "a", 8, "s3")])
    registers.fold([event("cid", "q1", "a", 7, "s2"), event("cid", "q2", "a", 8, "s3")])
    assert replayed.sums == registers.sums
    assert replayed.sums.complete == 3
    with pytest.raises(InvalidRequest):
        replayed.replay(pack("a1", [event("ann", "none", "a", 1, "s1")]), mark_of)
    foreign = event("ann", "q0", "a", 1, "s1")
    object.__setattr__(foreign, "assignment_id", "other")
    with pytest.raises(InvalidRequest, match="another assignment"):
        replayed.replay(pack("other", [foreign]), mark_of)


def test_a_replay_forgets_who_is_erased_with_all_that_came_before():
    replayed = Registers(grading())
    replayed.replay(pack("a1", SCHOOL), mark_of)
    replayed.replay(pack_erasure("a1", [mark_of("ann").hex(), mark_of("nobody").hex()]), mark_of)
    replayed.replay(pack("a1", [event("ann", "q1", "a", 9, "late")]), mark_of)
    replayed.recount()
    expected, _ = filled(
        [*(each for each in SCHOOL if each.student_id != "ann"), event("ann", "q1", "a", 9, "late")]
    )
    assert replayed.encode() == expected.encode()
    assert (replayed.sums, replayed.events) == (expected.sums, expected.events)


def test_who_is_erased_is_counted_out():
    registers, _ = filled()
    before = registers.events
    gone = sum(each.student_id == "ann" for each in SCHOOL)
    assert registers.erase(["ann", "nobody"]) == gone > 0
    assert registers.events == before - gone
    assert registers.erase(["ann"]) == 0
    registers.recount()
    assert registers.sums == filled([each for each in SCHOOL if each.student_id != "ann"])[0].sums


def test_a_learner_whose_answers_lie_in_several_segments_keeps_them_all():
    registers, _ = filled()
    replayed = Registers(grading())
    for number in range(0, len(SCHOOL), 2):
        replayed.replay(pack("a1", SCHOOL[number : number + 2]), mark_of)
    replayed.recount()
    assert replayed.encode() == registers.encode()
    assert (replayed.sums, replayed.events) == (registers.sums, registers.events)


def test_a_page_is_read_back_and_another_version_is_not():
    registers, _ = filled()
    back = Registers.decode(registers.encode(), grading())
    assert back.encode() == registers.encode()
    assert (back.sums, back.events) == (registers.sums, registers.events)
    assert {s: row.attempts for s, row in back.rows.items()} == {
        s: row.attempts for s, row in registers.rows.items()
    }
    assert {s: row.counted for s, row in back.rows.items()} == {"ann": True, "bob": True, "cid": False}
    page = registers.encode()
    size = int.from_bytes(page[:4], "little")
    assert len(page) == 4 + size + 38 * registers.events or len(page) > 4 + size
    with pytest.raises(InvalidRequest, match="unknown page version"):
        Registers.decode(page.replace(b'"v":1', b'"v":2', 1), grading())


def test_parts_hold_their_own_learners_and_add_up():
    registers, _ = filled()
    parts = list(registers.parts(WHOLE.split(2)))
    assert len(parts) == 4
    for part in parts:
        part.recount()
    assert sum(part.events for part in parts) == registers.events
    assert sum(part.sums.answers for part in parts) == registers.sums.answers
    assert sum(part.sums.complete for part in parts) == 2
    for shard, part in zip(WHOLE.split(2), parts, strict=True):
        assert all(shard.holds(position(student)) for student in part.rows)
    assert {student for part in parts for student in part.rows} == set(registers.rows)
    assert registers.in_order() == sorted(registers.rows, key=lambda student: (position(student), student))


def test_one_question_is_answered_a_thousand_times_and_no_more():
    registers, folded = filled([event("ann", "q0", "a", n, f"s{n}") for n in range(MAX_ATTEMPTS_KEPT + 1)])
    assert len(registers.rows["ann"].attempts[0]) == MAX_ATTEMPTS_KEPT == len(folded.applied)
    assert registers.rows["ann"].repeats == MAX_ATTEMPTS_KEPT - 1
    assert [each.event.submission_id for each in folded.refused] == [f"s{MAX_ATTEMPTS_KEPT}"]
    assert "at one question" in folded.refused[0].reason


def test_one_learner_repeats_so_often_in_an_assignment_and_no_more(monkeypatch):
    assert MAX_REPEATS_KEPT >= MAX_ATTEMPTS_KEPT
    monkeypatch.setattr("shared.learning.registers.MAX_REPEATS_KEPT", 3)
    events = [event("ann", f"q{n % 2}", "a", n, f"s{n}") for n in range(6)]
    registers, folded = filled(events)
    assert (len(folded.applied), registers.rows["ann"].repeats) == (5, 3)
    assert [each.event for each in folded.refused] == [events[5]]
    assert "repeated attempts" in folded.refused[0].reason
    # A question that was not answered yet is no repetition.
    assert registers.fold([event("ann", "q2", "a", 9, "s9")]).refused == []


def test_a_code_that_is_no_mask_counts_no_option():
    [keyed] = parse("How many? {#4}", "gift", seed="s").questions
    question = keyed.question
    assignment = Assignment(assignment_id="a1", course_id="c", title="t", questions=(question,))
    registers = Registers(Grading.of(assignment, {question.question_id: keyed.answer_key}))
    answer = AnswerSubmitted("a1", question.question_id, "ann", "s", '{"number":4}', 1, "function")
    assert registers.fold([answer]).applied == [answer]
    [item] = registers.sums.items
    assert (item.answered, item.correct, sum(item.options)) == (1, 1, 0)
