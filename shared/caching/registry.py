"""
Every kind of thing that is cached, declared once: its key, whose it is, how long it lives, what ends it.

A key's template names its parts in order. Personal entries have a ``{uid}`` among them; nothing else may
be read by anybody but that user. What an event ends is not deleted but left behind: a generation number
of the event goes into the keys, and counting it up makes new ones (``generations``).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Layer(StrEnum):
    """How long things live: hot five minutes, warm an hour, cold a day."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


SECONDS = {Layer.HOT: 300, Layer.WARM: 3600, Layer.COLD: 86_400}
_PART = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Entry:
    """
    One kind of cached thing.

    *jitter* is the share of its life by which one copy may live shorter than another, so that they do
    not all end at once. *ended_by* names the events after which it must not be served.
    """

    name: str
    template: str
    layer: Layer
    ended_by: tuple[str, ...] = ()
    jitter: float = 0.1
    seconds: int = 0

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The names of the key's parts."""
        return tuple(_PART.findall(self.template))

    @cached_property
    def needs(self) -> frozenset[str]:
        """The parts as a set."""
        return frozenset(self.parts)

    @cached_property
    def personal(self) -> bool:
        """Whether it belongs to one user."""
        return "uid" in self.parts

    @property
    def life_seconds(self) -> int:
        """How long a copy lives at most."""
        return self.seconds or SECONDS[self.layer]


def counter(event: str, uid: str) -> str:
    """What is counted up when *event* happens to *uid*, or (empty) to everybody."""
    return f"{event}:{uid}"


ANSWERED = "answer"
QUESTION_CHANGED = "question"
RANK_CHANGED = "rank"
CONTENT_CHANGED = "content"

LESSONS = ("skeleton", "step")
"""Entries whose life a deployment sets."""

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        # What models replied.
        Entry("proxy", "proxy:{uid}:{path}:{request}", Layer.WARM),
        Entry("embedding", "embedding:{uid}:{request}", Layer.COLD),
        Entry("chat", "user:{uid}:chat:{prompt}:{request}", Layer.HOT),
        Entry(
            "evaluation",
            "user:{uid}:evaluation:{question}:{prompt}:{rubric}:{request}",
            Layer.COLD,
            ended_by=(QUESTION_CHANGED,),
        ),
        Entry(
            "sharedEvaluation",
            "evaluation:{question}:{level}:{prompt}:{rubric}:{request}",
            Layer.COLD,
            ended_by=(QUESTION_CHANGED,),
        ),
        Entry("skeleton", "skeleton:{prompt}:{request}", Layer.COLD, ended_by=(CONTENT_CHANGED,)),
        Entry("step", "step:{prompt}:{request}", Layer.COLD, ended_by=(CONTENT_CHANGED,)),
        # What learners and classes have done.
        Entry("context", "user:{uid}:context", Layer.HOT, ended_by=(ANSWERED,)),
        Entry("performance", "user:{uid}:performance", Layer.HOT, ended_by=(ANSWERED,)),
        Entry("activeTest", "user:{uid}:active-test", Layer.HOT, ended_by=(ANSWERED,)),
        Entry("progress", "user:{uid}:progress", Layer.WARM, ended_by=(ANSWERED,)),
        Entry("notifications", "user:{uid}:notifications", Layer.HOT, seconds=30),
        Entry("leaderboard", "leaderboard:global:top100", Layer.HOT, ended_by=(RANK_CHANGED,)),
        # Content.
        Entry(
            "questionPool",
            "questions:pool:{system}:{topic}:{difficulty}",
            Layer.WARM,
            ended_by=(QUESTION_CHANGED,),
        ),
        Entry("questionFilter", "questions:filter:{filter}", Layer.WARM, ended_by=(QUESTION_CHANGED,)),
        Entry("systemStats", "system:{system}:stats", Layer.WARM),
        Entry("question", "question:{question}:full", Layer.COLD, ended_by=(QUESTION_CHANGED,)),
        Entry("testQuestions", "test:{test}:questions", Layer.COLD, ended_by=(QUESTION_CHANGED,)),
    )
}
