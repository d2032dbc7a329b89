"""A learner who has left something everywhere, and a world in which to erase them."""

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.documents.base import Create, Documents
from shared.errors import Conflict, NotFound
from shared.settings import Settings
from shared.wiring import Services
from tests.deployed import replace
from tests.faults.crashes import Process
from tests.faults.faulty import FaultyDocuments
from tests.tutoring import ANSWER, Class

UID = "canary.Zq7+8@school|x"
"""A uid with everything in it that a uid may have."""
WORDS = "xylophone-Zq7"
"""What the learner writes, everywhere."""


class Clock:
    """The time of day, to be turned forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class StatedArchive:
    """Objects in a dict."""

    def __init__(self, kept: dict[str, bytes] | None = None, perform: Any = None) -> None:
        self.kept = {} if kept is None else kept
        self._perform = perform or _at_once

    async def put(self, name: str, content: bytes) -> None:
        async def effect() -> None:
            if self.kept.setdefault(name, content) != content:
                message = f"something else is archived as {name}"
                raise Conflict(message)

        await self._perform("archive.put", name, effect)

    async def get(self, name: str) -> bytes:
        async def effect() -> bytes:
            if name not in self.kept:
                message = f"nothing is archived as {name}"
                raise NotFound(message)
            return self.kept[name]

        return await self._perform("archive.get", name, effect)

    async def names(self, prefix: str) -> list[str]:
        async def effect() -> list[str]:
            return sorted(name for name in self.kept if name.startswith(prefix))

        return await self._perform("archive.names", prefix, effect)

    async def delete(self, name: str) -> None:
        async def effect() -> None:
            self.kept.pop(name, None)

        await self._perform("archive.delete", name, effect)


async def _at_once(_operation: str, _detail: str, effect: Any) -> Any:
    return await effect()


async def life(lesson: Class, uid: str, words: str) -> None:
    """Have *uid* do everything in *lesson* that leaves something, with *words* wherever words are taken."""
    app = lesson.app
    teacher = {"uid": "teacher", "role": "teacher"}
    enroll = {"courseId": lesson.course_id, "learnerId": uid, "classId": "7b"}
    await app.ok("enroll_learner", enroll, **teacher)
    ceiling = {"dayNanos": 10**12, "note": f"for {uid}: {words}"}
    await app.services.documents.commit([Create(f"budgets/learner.{uid}", ceiling)])
    for number, decide in enumerate(("override_evaluation", None)):
        text = f"{ANSWER} {words} {number}"
        await lesson.answers("Sky", {"text": text}, uid=uid)
        made = await app.ok("evaluate_answer", lesson.about("Sky"), uid=uid)
        evaluation = made["evaluation"]
        if decide:
            about = {"assignmentId": lesson.assignment_id, "evaluationId": evaluation["evaluationId"]}
            criteria = {each["criterionId"]: 1 for each in evaluation["criteria"]}
            await app.ok(decide, {**about, "criteria": criteria, "comment": f"{words}?"}, **teacher)
    option = {"optionId": lesson.option("Capital", "Sydney")}
    await lesson.answers("Capital", option, uid=uid)
    await app.ok("chat", {**lesson.about("Capital"), "message": words}, uid=uid)
    await lesson.answers("Word", {"text": words}, uid=uid)
    for path, body in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": words}]}),
        ("/v1/embeddings", {"input": words}),
    ):
        model = "gpt-6-luna" if "chat" in path else "text-embedding-3-small"
        response = await app.call("openai_proxy", {"model": model, **body}, uid=uid, path=path)
        assert response.status_code == 200, response.text
    preview = await app.ok("preview_pilot", lesson.about("Sky"), **teacher)
    run = {"assignmentId": lesson.assignment_id, "previewId": preview["previewId"]}
    report = await app.ok("run_pilot", run, **teacher)
    assert uid in {row["evaluation"]["studentId"] for row in report["rows"]}
    await lesson.answers("Sky", {"text": f"{ANSWER} {words} later"}, uid=uid)
    assert (await app.ok("queue_evaluations", {**lesson.about("Sky"), "limit": 50}, **teacher))["queued"]
    await app.ok("run_evaluation_queue", {})
    await app.services.spend_ledger.flush()
    await app.services.budgets.report()


class StatedDirectory:
    """Accounts in a set; blocking, as a directory is."""

    def __init__(self, uids: set[str], perform: Any = None) -> None:
        self.accounts = uids
        self._perform = perform or _at_once

    def delete(self, uid: str) -> bool:
        async def effect() -> bool:
            there = uid in self.accounts
            self.accounts.discard(uid)
            return there

        return _blocking(self._perform("accounts.delete", "", effect))

    def uids(self, token: str) -> tuple[list[str], str]:
        async def effect() -> tuple[list[str], str]:
            return sorted(self.accounts), ""

        return _blocking(self._perform("accounts.uids", "", effect))

    def close(self) -> None:
        pass


def _blocking(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of *work*, which waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    message = "this would have waited"
    raise AssertionError(message)


class World:
    """One state of everything: documents, accounts and archive; processes come and go over it."""

    def __init__(self, documents: Documents, settings: Settings) -> None:
        self.documents = documents
        self.clock = Clock()
        self.accounts = {UID, "ben", "ada"}
        self.archived: dict[str, bytes] = {}
        self._settings = settings

    def services(self, process: Process) -> Services:
        """What *process* uses, where every operation may go wrong."""
        services = Services(self._settings)
        services.now = self.clock
        replace(
            services,
            documents=_FaultyDocuments(self.documents, process),
            account_directory=StatedDirectory(self.accounts, process.perform),
            archive=StatedArchive(self.archived, process.perform),
        )
        return services


class _FaultyDocuments(FaultyDocuments):
    async def ids(self, collection: str, *, token: str = "", limit: int = 300) -> tuple[list[str], str]:
        return await self._faults.perform(
            "ids", collection, lambda: self.inner.ids(collection, token=token, limit=limit)
        )
