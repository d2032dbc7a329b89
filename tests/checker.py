"""
The one checker of all layers: what clients were told, against what the store holds.

It shares no arithmetic with the product. Segments, pages and digests are read by their documented
layout, grades come from the keys through plain fractions, figures from the ``statistics`` module over
the raw answers. So a fault in the fold cannot hide in the check of it.
"""

import gzip
import hashlib
import hmac
import json
import statistics
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from shared.documents.base import Document, Documents
from shared.learning.answers import AnswerSubmitted
from shared.learning.assignments import Assignment
from shared.learning.questions import FULL_CREDIT, AnswerKey, Question
from shared.ledger.archive import Archive
from tests.faults.services import SETTINGS

_RECORD = struct.Struct("<IHq12siQ")
_UNGRADED = -(2**31)
_CLOSE = 1e-9


class Wrong(AssertionError):
    """The store does not hold what clients were told."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems[:20]))
        self.problems = tuple(problems)


@dataclass
class Told:
    """What clients sent, and what they were told is on record."""

    offered: dict[str, AnswerSubmitted] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)

    def offer(self, event: AnswerSubmitted) -> None:
        """Note that *event* was sent, whatever came of it."""
        self.offered[event.event_id] = event

    def acknowledge(self, event: AnswerSubmitted) -> None:
        """Note that a client was told that *event* is on record."""
        self.offer(event)
        self.acknowledged.add(event.event_id)

    def forget(self, student: str) -> None:
        """Take it that *student* was erased: nothing of theirs may be anywhere any more."""
        for event in [each for each in self.offered.values() if each.student_id == student]:
            del self.offered[event.event_id]
            self.acknowledged.discard(event.event_id)


@dataclass(frozen=True)
class Form:
    """An assignment together with the keys of its questions."""

    assignment: Assignment
    keys: Mapping[str, AnswerKey]

    @property
    def questions(self) -> list[Question]:
        """The questions that take an answer, in form order."""
        return [question for question in self.assignment.questions if question.type.value != "description"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as a segment or a pending document has it."""

    event_id: str
    student: str
    question: str
    answer: str
    at: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What there was: answers merged, answers waiting, acknowledged answers found."""

    merged: int
    pending: int
    acknowledged: int


@dataclass
class _Shard:
    name: str
    fields: Mapping[str, Any]
    own: dict[int, list[Answer]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    erased: dict[int, frozenset[str]] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        return int(self.name.partition("-")[0])

    def holds(self, student: str) -> bool:
        place = hashlib.sha256(b"lectern.shard.v1\n" + student.encode()).digest()[:8]
        return int.from_bytes(place, "big") >> (64 - self.bits) == int(self.name.partition("-")[2])


async def check(  # noqa: C901  one question after another
    documents: Documents,
    told: Told,
    forms: Sequence[Form],
    *,
    archive: Archive | None = None,
    settled: bool = True,
) -> Checked:
    """
    Compare *told* with *documents*.

    With *settled*, all work is said to be over: nothing may wait, and figures are those of everything.

    Raises:
        Wrong: with every discrepancy found.
    """
    problems: list[str] = []
    pending = await _pending(documents, problems)
    merged: Counter[str] = Counter()
    texts: dict[str, str] = {}
    total = 0
    for form in forms:
        shards = await _shards(documents, form, archive, problems)
        answers = [each for shard in shards.values() for part in shard.own.values() for each in part]
        merged.update(each.event_id for each in answers)
        texts |= {each.event_id: each.answer for each in answers}
        total += len(answers)
        _check_registers(form, shards, problems)
        if settled:
            await _check_figures(documents, form, shards, answers, problems)
    for event_id, times in merged.items():
        if times != 1:
            problems.append(f"{event_id[:12]} is in {times} segments: counted {times} times")
    for event_id in told.acknowledged - merged.keys() - pending.keys():
        problems += [f"{event_id[:12]} was acknowledged and is nowhere: lost"]
    for event_id, text in (pending | texts).items():
        offered = told.offered.get(event_id)
        if offered is None:
            problems.append(f"{event_id[:12]} is in the store, and nobody sent it")
        elif json.loads(offered.answer) != json.loads(text):
            problems.append(f"{event_id[:12]} says {text}, and {offered.answer} was sent")
    if settled and pending:
        problems.append(f"{len(pending)} answers still wait: not converged")
    if problems:
        raise Wrong(problems)
    return Checked(total, len(pending), len(told.acknowledged))


async def everything(documents: Documents, collection: str) -> list[Document]:
    """All documents of *collection*."""
    found: list[Document] = []
    while page := await documents.scan(collection, after=found[-1].id if found else None, limit=300):
        found += page
        if len(page) < 300:
            break
    return found


async def _pending(documents: Documents, problems: list[str]) -> dict[str, str]:
    texts = {}
    for document in await everything(documents, "pendingAnswers"):
        texts[document.id] = json.dumps(json.loads(document.fields["event"])["answer"])
    for document in await everything(documents, "browserAnswers"):
        if document.id in texts:
            problems.append(f"{document.id[:12]} waits twice")
        texts[document.id] = json.dumps(dict(document.fields["answer"]))
    return texts


async def _shards(  # noqa: C901  one walk, many questions
    documents: Documents, form: Form, archive: Archive | None, problems: list[str]
) -> dict[str, _Shard]:
    root = f"ledgers/{form.assignment.assignment_id}/shards"
    shards = {each.id: _Shard(each.id, each.fields) for each in await everything(documents, root)}
    for shard in sorted(shards.values(), key=lambda each: each.bits):
        parent = shards.get(shard.fields["parent"]) if shard.fields["parent"] else None
        split_at = shard.fields["splitAt"]
        if parent is None:
            digest = "0" * 64
        else:
            digest = parent.digests.get(split_at, "unknown")
            if parent.fields["seq"] != split_at or not parent.fields.get("splitBits"):
                problems.append(f"shard {shard.name} was split from {parent.name}, which went on")
        seq = split_at
        shard.digests[seq] = digest
        for document in await everything(documents, f"{root}/{shard.name}/segments"):
            packed = await _packed(document, archive)
            if document.fields["first"] != seq + 1 or int(document.id) != seq + 1:
                problems.append(f"shard {shard.name} has segment {document.id} where {seq + 1} was expected")
            for part, text in zip(document.fields["parts"], packed, strict=True):
                seq += 1
                content = _content(part, text, f"segment {seq} of shard {shard.name}", problems)
                digest = hashlib.sha256(f"{digest}\n{content}".encode()).hexdigest()
                shard.digests[seq] = digest
                shard.own[seq] = _unpacked(text, form.assignment.assignment_id)
                shard.erased[seq] = frozenset(json.loads(text).get("erased", ()))
                if part.get("erased", []) != sorted(shard.erased[seq]):
                    problems.append(f"segment {seq} of shard {shard.name} is not what it says it is")
                if digest != part["digest"]:
                    problems.append(f"segment {seq} of shard {shard.name} breaks the chain of digests")
                if part["count"] != len(shard.own[seq]):
                    problems.append(f"segment {seq} of shard {shard.name} does not hold what it counts")
            if document.fields["last"] != seq:
                problems.append(
                    f"segment {document.id} of shard {shard.name} ends at {seq}, not where it says"
                )
        if seq != shard.fields["seq"] or digest != shard.fields["digest"]:
            problems.append(f"the head of shard {shard.name} is not at its last segment, {seq}")
    return shards


def _content(part: Mapping[str, Any], text: bytes, where: str, problems: list[str]) -> str:
    """The digest with which the chain goes on: of what a segment was before anybody was erased from it."""
    content = hashlib.sha256(text).hexdigest()
    if "kept" not in part:
        return content
    if content != part["kept"]:
        problems.append(f"{where} is not what was left of it")
    return str(part["content"])


async def _packed(document: Document, archive: Archive | None) -> list[bytes]:
    if document.fields.get("body"):
        return zlib.decompress(document.fields["body"]).split(b"\n")
    assert archive is not None, "a segment's body is in the archive, and there is no archive"
    lines = gzip.decompress(await archive.get(document.fields["archive"])).splitlines()
    place = 0
    packed = []
    assignment_id = document.path.split("/")[1]
    for part in document.fields["parts"]:
        if "erased" in part:
            marks = json.dumps(part["erased"], separators=(",", ":"))
            packed.append(f'{{"v":2,"assignmentId":"{assignment_id}","erased":{marks}}}'.encode())
            continue
        packed.append(
            _repacked(assignment_id, [json.loads(line) for line in lines[place : place + part["count"]]])
        )
        place += part["count"]
    return packed


def _repacked(assignment_id: str, events: Sequence[Mapping[str, Any]]) -> bytes:
    """A segment's text as it was before it was archived, from its layout alone."""
    students: dict[str, int] = {}
    questions: dict[str, int] = {}
    answers: dict[str, int] = {}
    rows = [
        [
            students.setdefault(event["studentId"], len(students)),
            questions.setdefault(event["questionId"], len(questions)),
            answers.setdefault(_canonical(event["answer"]), len(answers)),
            event["submissionId"],
            _microseconds(event["submittedAt"]),
            event["source"],
        ]
        for event in events
    ]
    body = {
        "v": 1,
        "assignmentId": assignment_id,
        "students": list(students),
        "questions": list(questions),
        "answers": list(answers),
        "rows": rows,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _canonical(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _microseconds(text: str) -> int:
    from datetime import UTC, datetime, timedelta

    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _unpacked(packed: bytes, assignment_id: str) -> list[Answer]:
    body = json.loads(packed)
    assert body["assignmentId"] == assignment_id, "a segment of another assignment"
    if body["v"] == 2:
        return []
    return [
        Answer(
            _event_id(assignment_id, body["students"][s], body["questions"][q], submission),
            body["students"][s],
            body["questions"][q],
            body["answers"][a],
            at,
        )
        for s, q, a, submission, at, _source in body["rows"]
    ]


def _event_id(assignment: str, student: str, question: str, submission: str) -> str:
    lines = ("lectern.answer.v1", assignment, student, question, submission)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_registers(form: Form, shards: Mapping[str, _Shard], problems: list[str]) -> None:
    for shard in shards.values():
        if shard.fields.get("splitBits"):
            continue
        history = _history(shard, shards)
        learners = [(seq, each) for seq, each in history if shard.holds(each.student)]
        answers = [each for _, each in learners]
        if shard.fields["events"] != len(answers):
            problems.append(
                f"shard {shard.name} counts {shard.fields['events']} answers, its segments hold {len(answers)}"
            )
        if json.loads(shard.fields["sums"]) != _sums(form, answers):
            problems.append(f"the sums of shard {shard.name} are not those of its answers")
        in_page = [each for seq, each in learners if seq <= shard.fields["pageSeq"]]
        if _page(bytes(shard.fields["page"])) != _registers(form, in_page):
            problems.append(f"the registers of shard {shard.name} are not those of its segments")


def _history(shard: _Shard, shards: Mapping[str, _Shard]) -> list[tuple[int, Answer]]:
    parent = shards.get(shard.fields["parent"])
    history = _history(parent, shards) if parent is not None else []
    for seq, answers in shard.own.items():
        history = [one for one in history if _mark(one[1].student) not in shard.erased[seq]]
        history += [(seq, each) for each in answers]
    return history


def _mark(student: str) -> str:
    key = SETTINGS.receipt_key.get_secret_value().encode()
    return hmac.new(key, b"lectern.erased.v1\n" + student.encode(), hashlib.sha256).hexdigest()[:32]


def _page(page: bytes) -> dict[tuple[str, str], list[tuple[int, str, int | None]]]:
    size = int.from_bytes(page[:4], "little")
    header = json.loads(page[4 : 4 + size])
    registers: dict[tuple[str, str], list[tuple[int, str, int | None]]] = {}
    for student, question, at, name, credit, _code in _RECORD.iter_unpack(page[4 + size :]):
        place = (header["students"][student], header["questions"][question])
        registers.setdefault(place, []).append((at, name.hex(), None if credit == _UNGRADED else credit))
    return registers


def _registers(
    form: Form, answers: Iterable[Answer]
) -> dict[tuple[str, str], list[tuple[int, str, int | None]]]:
    registers = defaultdict(list)
    for each in answers:
        credit = _credit(form, each)
        registers[each.student, each.question].append((each.at, each.event_id[:24], credit))
    return {place: sorted(attempts, key=lambda one: one[:2]) for place, attempts in registers.items()}


def _credit(form: Form, answer: Answer) -> int | None:
    question = form.assignment.by_id[answer.question]
    return grade(question, form.keys[answer.question], json.loads(answer.answer))[0]


def grade(  # noqa: C901  a case per question type
    question: Question, key: AnswerKey, response: Mapping[str, Any]
) -> tuple[int | None, frozenset[str]]:
    """Credit and counted options of *response*, read off the key."""
    rule = key.key
    match rule.kind:
        case "choice":
            ids = [response["optionId"]] if "optionId" in response else response["optionIds"]
            earned = sum(rule.options[each].credit for each in ids if each in rule.options)
            if "optionIds" in response:
                earned = FULL_CREDIT if earned >= FULL_CREDIT - 100 else max(0, earned)
            return earned, frozenset(ids)
        case "trueFalse":
            said = response["value"]
            return (FULL_CREDIT if said == rule.value else 0), frozenset([str(said).lower()])
        case "numeric":
            number = Fraction(str(response["number"]))
            for each in rule.ranges:
                if Fraction(each.minimum) <= number <= Fraction(each.maximum):
                    return each.credit, frozenset()
            return 0, frozenset()
        case "shortText":
            assert response["text"].isascii(), "this checker compares ASCII texts only"
            for each in rule.patterns:
                assert "*" not in each.pattern, "this checker compares whole texts only"
                if " ".join(each.pattern.lower().split()) == " ".join(response["text"].lower().split()):
                    return each.credit, frozenset()
            return 0, frozenset()
        case "matching":
            right = frozenset(
                stem for stem, choice in response["pairs"].items() if rule.pairs[stem] == choice
            )
            return round(Fraction(FULL_CREDIT * len(right), len(rule.pairs))), right
        case _:
            return None, frozenset()


@dataclass
class _Column:
    answered: int = 0
    credits: list[int] = field(default_factory=list)
    options: Counter[str] = field(default_factory=Counter)


@dataclass
class _Table:
    """What counts of some answers: students by questions."""

    students: int
    columns: dict[str, _Column]
    complete: list[list[int]]
    machine: list[str]


def _table(form: Form, answers: Iterable[Answer]) -> _Table:
    attempts: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for each in answers:
        attempts[each.student, each.question].append(each)
    policy = form.assignment.policy
    cells: dict[str, dict[str, tuple[int | None, frozenset[str]]]] = defaultdict(dict)
    for (student, question), given in attempts.items():
        given.sort(key=lambda each: (each.at, each.event_id))
        graded = [
            grade(form.assignment.by_id[question], form.keys[question], json.loads(each.answer))
            for each in given[: policy.max_attempts]
        ]
        match policy.attempts.value:
            case "last":
                counts = graded[-1]
            case "first":
                counts = graded[0]
            case "best":
                best = max((credit for credit, _ in graded if credit is not None), default=None)
                counts = next(each for each in graded if each[0] == best)
        cells[student][question] = counts
    columns = {question.question_id: _Column() for question in form.questions}
    machine = [question.question_id for question in form.questions if question.type.value != "essay"]
    complete = []
    for row in cells.values():
        for question, (credit, options) in row.items():
            column = columns[question]
            column.answered += 1
            column.options.update(options)
            if credit is not None:
                column.credits.append(credit)
        if all(row.get(question, (None,))[0] is not None for question in machine):
            complete.append(
                [row[q][0] * int(form.assignment.by_id[q].weight * 1000) for q in machine]  # type: ignore[operator]  # graded by machine: never None
            )
    return _Table(len(cells), columns, complete, machine)


def _names(question: Question) -> list[str]:
    if question.type.value == "trueFalse":
        return ["true", "false"]
    return [each.stem_id for each in question.stems] or [each.option_id for each in question.options]


def _sums(form: Form, answers: Iterable[Answer]) -> list[Any]:
    table = _table(form, answers)
    totals = [sum(row) for row in table.complete]
    items = []
    for question in form.questions:
        column = table.columns[question.question_id]
        place = table.machine.index(question.question_id) if question.question_id in table.machine else None
        scores = [row[place] for row in table.complete] if place is not None else []
        items.append(
            [
                column.answered,
                len(column.credits),
                column.credits.count(FULL_CREDIT),
                sum(column.credits),
                sum(scores),
                sum(score * score for score in scores),
                sum(score * total for score, total in zip(scores, totals, strict=False)),
                [column.options[name] for name in _names(question)],
            ]
        )
    answered = sum(column.answered for column in table.columns.values())
    squares = sum(total * total for total in totals)
    return [[table.students, answered, len(totals), sum(totals), squares], items]


def figures(form: Form, answers: Iterable[Answer]) -> dict[str, Any]:
    """What the assignment document should show for *answers*, computed at once from all of them."""
    table = _table(form, answers)
    totals = [sum(row) for row in table.complete]
    questions = {}
    for question in form.questions:
        column = table.columns[question.question_id]
        discrimination = None
        if question.question_id in table.machine:
            place = table.machine.index(question.question_id)
            scores = [row[place] for row in table.complete]
            rest = [total - score for total, score in zip(totals, scores, strict=True)]
            if len(set(scores)) > 1 and len(set(rest)) > 1:
                discrimination = statistics.correlation(scores, rest)
        questions[question.question_id] = {
            "answered": column.answered,
            "correct": column.credits.count(FULL_CREDIT),
            "facility": (
                sum(column.credits) / (len(column.credits) * FULL_CREDIT) if column.credits else None
            ),
            "discrimination": discrimination,
        }
    alpha = None
    k = len(table.machine)
    if k > 1 and len(set(totals)) > 1:
        parts = sum(
            Fraction(statistics.pvariance(map(Fraction, item))) for item in zip(*table.complete, strict=True)
        )
        alpha = float(Fraction(k, k - 1) * (1 - parts / statistics.pvariance(map(Fraction, totals))))
    return {
        "students": table.students,
        "answers": sum(column.answered for column in table.columns.values()),
        "questions": questions,
        "reliability": {"alpha": alpha, "students": len(totals)},
    }


def chosen(form: Form, answers: Iterable[Answer]) -> dict[str, dict[str, int]]:
    """What the teachers' document should show for *answers*: counts of options, where there are any."""
    columns = _table(form, answers).columns
    return {
        question.question_id: {name: columns[question.question_id].options[name] for name in names}
        for question in form.questions
        if (names := _names(question))
    }


async def _check_figures(
    documents: Documents,
    form: Form,
    shards: Mapping[str, _Shard],
    answers: Sequence[Answer],
    problems: list[str],
) -> None:
    assignment_id = form.assignment.assignment_id
    path = f"assignments/{assignment_id}"
    [document, options] = await documents.get([path, f"{path}/figures/options"])
    assert document is not None, f"{path} is gone"
    if not answers and "asOf" not in document.fields:
        return
    as_of = document.fields.get("asOf") or {"events": -1, "pending": -1}
    if as_of["events"] != len(answers):
        problems.append(f"{assignment_id} shows {as_of['events']} answers of {len(answers)}")
    if as_of["pending"] != 0:
        problems.append(f"{assignment_id} shows {as_of['pending']} answers waiting, and none does")
    _compare(document.fields.get("stats"), figures(form, answers), f"{assignment_id}.stats", problems)
    counts = chosen(form, answers)
    expected = {"asOf": as_of, "questions": counts} if counts else None
    _compare(options.fields if options else None, expected, f"{assignment_id}.options", problems)
    leaves = [shard.bits for shard in shards.values() if not shard.fields.get("splitBits")]
    # The roll-up after a split may come before it; the next merge tells of it, and it is a hint only.
    if leaves and document.fields.get("shardBits", 0) > max(leaves):
        problems.append(f"{assignment_id} is said to be finer divided than it is")


def _compare(found: object, expected: object, where: str, problems: list[str]) -> None:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for name in expected.keys() | found.keys():
            _compare(found.get(name), expected.get(name), f"{where}.{name}", problems)
    elif isinstance(expected, float) and isinstance(found, int | float):
        if abs(found - expected) > _CLOSE * max(1.0, abs(expected)):
            problems.append(f"{where} is {found}, and a batch computation says {expected}")
    elif found != expected:
        problems.append(f"{where} is {found}, and a batch computation says {expected}")
