"""Reads a question set in any of the formats that teachers bring."""

from typing import Literal, NamedTuple, assert_never

from shared.errors import TooLarge
from shared.learning.importing import comma_separated, gift, json_text
from shared.learning.importing.findings import BEGINNING, UNREADABLE, Findings, Lines, Place, Skipped
from shared.learning.importing.sealing import sealed
from shared.learning.questions import MAX_QUESTIONS, KeyedQuestion

SourceForm = Literal["gift", "csv", "json"]

MAX_SOURCE_BYTES = 512 * 1024
MAX_STORED_BYTES = 900 * 1024
"""All questions have to fit into one Firestore document (1 MiB), and all keys into another."""


class Imported(NamedTuple):
    """A whole question set, and what of the file is not part of it."""

    questions: tuple[KeyedQuestion, ...]
    skipped: tuple[Skipped, ...]


def parse(source: str, form: SourceForm, *, seed: str) -> Imported:
    """
    Read all questions of *source*, or none.

    Equal sources and seeds give equal ids. Whoever knows *seed* can tell the authored order of the
    options, so it must be random and secret where that matters.

    Raises:
        TooLarge: *source* is larger than 512 KiB, or the questions than 900 KiB.
        InvalidRequest: something in *source* is wrong; ``details`` is a list of
            ``{"line", "column", "message"}`` with all that was found, up to 100.
    """
    if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        message = f"the source is larger than {MAX_SOURCE_BYTES // 1024} KiB"
        raise TooLarge(message)
    # A byte order mark is not the first character of the first line, and a line ends in one way.
    source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    findings = Findings()
    lines = Lines(source)
    for unreadable in UNREADABLE.finditer(source):
        code_point = f"U+{ord(unreadable[0]):04X}"
        findings.problem(lines.place(unreadable.start()), f"{code_point} cannot be part of a question")
    findings.conclude()
    match form:
        case "gift":
            drafts = gift.drafts(source, lines, findings)
        case "csv":
            drafts = comma_separated.drafts(source, lines, findings)
        case "json":
            drafts = json_text.drafts(source, lines, findings)
        case _:
            assert_never(form)
    if len(drafts) > MAX_QUESTIONS:
        findings.problem(drafts[MAX_QUESTIONS].place, f"there are more than {MAX_QUESTIONS} questions")
    findings.conclude()
    if not drafts:
        for line, column, reason in findings.skipped:
            findings.problem(Place(line, column), reason)
        findings.fatal(BEGINNING, "there are no questions")
    questions = tuple(sealed(draft, index, seed=seed) for index, draft in enumerate(drafts))
    _fitting(questions)
    return Imported(questions, tuple(sorted(findings.skipped)))


def _fitting(questions: tuple[KeyedQuestion, ...]) -> None:
    for what, bodies in (
        ("questions", (each.question.model_dump_json() for each in questions)),
        ("answer keys", (each.answer_key.model_dump_json() for each in questions)),
    ):
        if sum(len(body.encode()) + 1 for body in bodies) > MAX_STORED_BYTES:
            message = f"the {what} are larger than {MAX_STORED_BYTES // 1024} KiB together: split the set"
            raise TooLarge(message)
