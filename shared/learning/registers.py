"""
The registers of a shard: for every student and question, the attempts that were applied.

A register names the attempts in it, so an answer that comes again, however late, changes nothing.
What counts (the effective attempt) and the sums of the item analysis follow from the registers
alone, whatever order the answers came in.
"""

import struct
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from shared.errors import InvalidRequest
from shared.learning.answers import AnswerSubmitted, event_id
from shared.learning.assignments import Grading, GradingPolicy
from shared.learning.attempts import Attempt, effective
from shared.learning.item_analysis import Sums, chosen, counts_options
from shared.learning.questions import FULL_CREDIT, GRADED_LATER
from shared.learning.segments import opened, ordered
from shared.learning.sharding import Shard, position

MAX_ATTEMPTS_KEPT = 1000
"""More answers to one question than anybody gives; beyond it they are refused, to bound a register."""

MAX_REPEATS_KEPT = 8000
"""
Attempts of one learner beyond the first at each question, over a whole assignment: one learner's
registers are in one document, which must stay below 1 MiB. Counted so that no order of the same
answers refuses another number of them.
"""

_NAME_DIGITS = 24
"""Of an event id's 64 hexadecimal digits a register keeps 24: 96 bits, among one student's attempts."""

_RECORD = struct.Struct("<IHq12siQ")
_UNGRADED = -(2**31)


class Row:
    """One student's registers: attempts by question index, in canonical order, and what they come to."""

    __slots__ = ("attempts", "counted", "effective")

    def __init__(self) -> None:
        """Nothing answered yet."""
        self.attempts: dict[int, list[Attempt]] = {}
        self.effective: dict[int, Attempt] = {}
        self.counted = False

    @property
    def repeats(self) -> int:
        """Attempts beyond the first at each question."""
        return sum(map(len, self.attempts.values())) - len(self.attempts)


class Refused(NamedTuple):
    """An answer that cannot be graded, and why."""

    event: AnswerSubmitted
    reason: str


class Folded(NamedTuple):
    """What became of a batch: the new answers in canonical order, how many were known, and the unusable."""

    applied: list[AnswerSubmitted]
    duplicates: int
    refused: list[Refused]


class Registers:
    """The registers of one shard together with their sums."""

    __slots__ = ("_machine_graded", "_masked", "events", "grading", "rows", "sums")

    def __init__(self, grading: Grading) -> None:
        """Start empty, to be graded by *grading*."""
        self.grading = grading
        self.rows: dict[str, Row] = {}
        self.events = 0
        self.sums = Sums.zero(grading.questions)
        self._masked = [counts_options(question) for question in grading.questions]
        self._machine_graded = [
            i for i, question in enumerate(grading.questions) if question.type not in GRADED_LATER
        ]

    def fold(self, events: Iterable[AnswerSubmitted]) -> Folded:
        """
        Apply *events*: independent of their order, and of how often each is in there.

        Raises nothing because of an answer: what cannot be graded comes back as refused.
        """
        applied: list[AnswerSubmitted] = []
        refused: list[Refused] = []
        duplicates = 0
        for event in events:
            try:
                is_new = self._apply(event)
            except InvalidRequest as error:
                refused.append(Refused(event, error.message))
                continue
            if is_new:
                applied.append(event)
            else:
                duplicates += 1
        return Folded(ordered(applied), duplicates, refused)

    def replay(self, packed: bytes, mark_of: Callable[[str], bytes]) -> None:
        """
        Put the answers of a segment into registers without counting; :meth:`recount` when all are in.

        Where it says that learners are erased, those with such a mark (*mark_of*) are forgotten.

        Raises:
            InvalidRequest: one of them cannot be graded, which none in a segment should be.
        """
        assignment_id, students, questions, answers, rows, erased = opened(packed)
        self._belongs(assignment_id)
        if erased:
            marks = frozenset(erased)
            self.erase([learner for learner in self.rows if mark_of(learner).hex() in marks])
        indexes = [self.grading.question_index(question) for question in questions]
        registers = [self._row(student).attempts for student in students]
        grade = self.grading.grade
        for s, q, a, submission_id, at, _ in rows:
            question = indexes[q]
            name = event_id(assignment_id, students[s], questions[q], submission_id)[:_NAME_DIGITS]
            if question in registers[s]:
                self._enter(self.rows[students[s]], question, at, name, answers[a])
            else:
                credit, code = grade(question, answers[a])
                registers[s][question] = [Attempt(at, name, credit, code)]
                self.events += 1

    def _apply(self, event: AnswerSubmitted) -> bool:
        inserted = self._insert(event)
        if inserted is None:
            return False
        row, question = inserted
        policy = self.grading.policy
        self._count(row, question, _counting(row.attempts[question], policy))
        return True

    def _insert(self, event: AnswerSubmitted) -> tuple[Row, int] | None:
        """Apply one answer to its register; None if it is in there."""
        self._belongs(event.assignment_id)
        question = self.grading.question_index(event.question_id)
        name = event.event_id[:_NAME_DIGITS]
        row = self.rows.get(event.student_id)
        if row is None:
            self.grading.grade(question, event.answer)  # nobody has a row for what cannot be graded
            row = self._row(event.student_id)
        return (row, question) if self._enter(row, question, event.submitted_at, name, event.answer) else None

    def _belongs(self, assignment_id: str) -> None:
        if assignment_id != self.grading.assignment_id:
            message = "this answer belongs to another assignment"
            raise InvalidRequest(message)

    def _row(self, student_id: str) -> Row:
        row = self.rows.get(student_id)
        if row is None:
            row = self.rows[student_id] = Row()
            self.sums.students += 1
        return row

    def _enter(self, row: Row, question: int, at: int, name: str, answer: str) -> bool:
        """Put an attempt into its register; whether it was not in there."""
        kept = row.attempts.get(question)
        if kept is not None:
            if any(attempt[1] == name for attempt in kept):
                return False
            if len(kept) >= MAX_ATTEMPTS_KEPT:
                message = f"more than {MAX_ATTEMPTS_KEPT} attempts at one question"
                raise InvalidRequest(message)
            if row.repeats >= MAX_REPEATS_KEPT:
                message = f"more than {MAX_REPEATS_KEPT} repeated attempts in one assignment"
                raise InvalidRequest(message)
        credit, code = self.grading.grade(question, answer)
        attempt = Attempt(at, name, credit, code)
        if kept is None:
            row.attempts[question] = [attempt]
        else:
            insort(kept, attempt, key=_rank)
        self.events += 1
        return True

    def _count(self, row: Row, question: int, attempt: Attempt) -> None:
        before = row.effective.get(question)
        if before is attempt:
            return
        if row.counted:
            self._count_complete(row, -1)
            row.counted = False
        if before is not None:
            self._count_one(question, before, -1)
        row.effective[question] = attempt
        self._count_one(question, attempt, 1)
        if self._is_complete(row):
            self._count_complete(row, 1)
            row.counted = True

    def _count_one(self, question: int, attempt: Attempt, times: int) -> None:
        item = self.sums.items[question]
        self.sums.answers += times
        item.answered += times
        credit = attempt[2]
        if credit is not None:
            item.graded += times
            item.credit += times * credit
            if credit == FULL_CREDIT:
                item.correct += times
        if self._masked[question]:
            for option in chosen(attempt[3]):
                item.options[option] += times

    def _count_complete(self, row: Row, sign: int) -> None:
        weights, counted = self.grading.weights, row.effective
        scores = [(counted[i][2] or 0) * weights[i] for i in self._machine_graded]
        total = sum(scores)
        sums = self.sums
        sums.complete += sign
        sums.total += sign * total
        sums.total_squares += sign * total * total
        items = sums.items
        for i, score in zip(self._machine_graded, scores, strict=True):
            if score:
                item = items[i]
                item.scores += sign * score
                item.squares += sign * score * score
                item.products += sign * score * total

    def encode(self) -> bytes:
        """
        The one byte string of these registers: 38 bytes an attempt, and each student's id once.

        Students and questions come in order of their ids, attempts in canonical order, so equal
        registers are equal bytes.
        """
        questions = [question.question_id for question in self.grading.questions]
        order = sorted(range(len(questions)), key=questions.__getitem__)
        rank = sorted(range(len(questions)), key=order.__getitem__)
        students = sorted(self.rows)
        header = orjson.dumps({"v": 1, "questions": sorted(questions), "students": students})
        records = [
            _RECORD.pack(
                number, rank[i], at, bytes.fromhex(name), _UNGRADED if credit is None else credit, code
            )
            for number, student in enumerate(students)
            for attempts in (self.rows[student].attempts,)
            for i in sorted(attempts, key=rank.__getitem__)
            for at, name, credit, code in attempts[i]
        ]
        return b"".join((len(header).to_bytes(4, "little"), header, *records))

    @classmethod
    def decode(cls, page: bytes, grading: Grading) -> "Registers":
        """
        Read back what :meth:`encode` wrote; the sums are counted anew.

        Raises:
            InvalidRequest: *page* is of no version known here.
        """
        result = cls(grading)
        size = int.from_bytes(page[:4], "little")
        header = orjson.loads(page[4 : 4 + size])
        if header["v"] != 1:
            message = f"unknown page version {header['v']!r}"
            raise InvalidRequest(message)
        indexes = [grading.index[question_id] for question_id in header["questions"]]
        students = header["students"]
        for number, place, at, name, credit, code in _RECORD.iter_unpack(page[4 + size :]):
            row = result.rows.setdefault(students[number], Row())
            attempt = Attempt(at, name.hex(), None if credit == _UNGRADED else credit, code)
            row.attempts.setdefault(indexes[place], []).append(attempt)
            result.events += 1
        result.recount()
        return result

    def recount(self) -> None:
        """Count the sums anew from the registers."""
        policy = self.grading.policy
        self.sums = Sums.zero(self.grading.questions)
        self.sums.students = len(self.rows)
        alike: dict[tuple[int, int | None, int], int] = {}
        for row in self.rows.values():
            for question, attempts in row.attempts.items():
                attempt = attempts[0] if len(attempts) == 1 else _counting(attempts, policy)
                row.effective[question] = attempt
                kind = (question, attempt[2], attempt[3])
                alike[kind] = alike.get(kind, 0) + 1
            row.counted = self._is_complete(row)
            if row.counted:
                self._count_complete(row, 1)
        for (question, credit, code), times in alike.items():
            self._count_one(question, Attempt(0, "", credit, code), times)

    def erase(self, learners: Iterable[str]) -> int:
        """Forget *learners*; how many attempts of theirs there were. To be recounted if there were any."""
        gone = [row for learner in learners if (row := self.rows.pop(learner, None)) is not None]
        attempts = sum(len(kept) for row in gone for kept in row.attempts.values())
        self.events -= attempts
        return attempts

    def _is_complete(self, row: Row) -> bool:
        counted = row.effective
        return all(i in counted and counted[i][2] is not None for i in self._machine_graded)

    def parts(self, shards: Iterable[Shard]) -> Iterator["Registers"]:
        """These registers, distributed over *shards* that cover the same learners; to be recounted."""
        for shard in shards:
            part = Registers(self.grading)
            part.rows = {student: row for student, row in self.rows.items() if shard.holds(position(student))}
            part.events = sum(len(kept) for row in part.rows.values() for kept in row.attempts.values())
            yield part

    def in_order(self) -> list[str]:
        """The students by where they lie on the line of learners, which no split changes."""
        return sorted(self.rows, key=lambda student: (position(student), student))


def _counting(attempts: Sequence[Attempt], policy: GradingPolicy) -> Attempt:
    if len(attempts) == 1:
        return attempts[0]
    found = effective(attempts, policy.attempts, policy.max_attempts)
    return found if found is not None else attempts[0]


def _rank(attempt: Attempt) -> tuple[int, str]:
    return (attempt[0], attempt[1])
