"""
How a learner is removed from a place where something is kept of them: step by step, as a cursor goes along.

A step reads, and says which writes remove what it met; whoever asked for it commits them together with the
account of them, so that each document is counted once whatever is cut off. It may be repeated at any time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.documents.base import Delete, Document, Documents, Fields, Find, Replace, Write

NOBODY = "-"
"""Stands where a document has to name somebody who was erased; no account has such a uid."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step: *writes* that remove what was met, how much that is by collection, and where the next begins.

    Without *after* the place is done. What is not *settled* has to be looked at once more, in another pass.
    """

    writes: Sequence[Write] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    after: str | None = None
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Named:
    """Learners whom a place names, and where the next step begins; without *after* that were all."""

    learners: frozenset[str] = frozenset()
    after: str | None = None


class Place(Protocol):
    """
    Where something of learners is kept.

    ``acts`` says that a step itself removes, because what it removes lies in no document of this store; its
    counts are then of what it has removed. All may raise Unavailable.
    """

    name: str
    acts: bool

    async def step(self, learner_id: str, after: str | None) -> Step:
        """Go one step further in removing *learner_id*, from behind *after* (None: from the beginning)."""
        ...

    async def learners(self, after: str | None) -> Named:
        """Tell who is named here, one step from behind *after*; whoever no uid can be told of is left out."""
        ...


class Owned:
    """Documents of a collection beneath one that has the learner's uid as its id; each is theirs."""

    acts = False

    def __init__(
        self, documents: Documents, above: str, collection: str, *, page: int = 300, tells: bool = True
    ) -> None:
        """
        Remove ``{above}/{uid}/{collection}``, *page* documents a step.

        *tells*: whoever has anything beneath their uid is told here, and not by a place beside this one.
        """
        self._documents = documents
        self._above = above
        self._collection = collection
        self._page = page
        self._tells = tells
        self.name = f"{above}/{collection}"

    async def step(self, learner_id: str, after: str | None) -> Step:
        """See the port."""
        query = Find(f"{self._above}/{learner_id}/{self._collection}", only=[_NO_FIELD], limit=self._page)
        found = await self._documents.find(_behind(query, after))
        writes = [Delete(each.path) for each in found]
        return Step(writes, counted(self._collection, len(writes)), following(found, self._page))

    async def learners(self, after: str | None) -> Named:
        """See the port."""
        if not self._tells:
            return Named()
        ids, token = await self._documents.ids(self._above, token=after or "")
        return Named(frozenset(ids), token or None)


class Scanned:
    """Documents of one collection that name learners in their fields, found by reading all of it."""

    acts = False

    def __init__(
        self,
        documents: Documents,
        collection: str,
        *,
        only: Sequence[str],
        who: Callable[[Fields], Collection[str]],
        without: Callable[[Document, str], Write] | None = None,
        page: int = 300,
    ) -> None:
        """
        Read the fields *only*, in which *who* finds uids, *page* documents a step.

        A document that names the learner is removed, or changed as *without* says.
        """
        self._documents = documents
        self._query = Find(collection, only=only, limit=page)
        self._who = who
        self._without = without or _removed
        self.name = collection

    async def step(self, learner_id: str, after: str | None) -> Step:
        """See the port."""
        found = await self._documents.find(_behind(self._query, after))
        writes = [self._without(each, learner_id) for each in found if learner_id in self._who(each.fields)]
        return Step(writes, counted(self.name, len(writes)), following(found, self._query.limit))

    async def learners(self, after: str | None) -> Named:
        """See the port."""
        found = await self._documents.find(_behind(self._query, after))
        named = frozenset(uid for each in found for uid in self._who(each.fields) if uid)
        return Named(named, following(found, self._query.limit))


class Addressed:
    """Single documents whose paths follow from the uid."""

    acts = False

    def __init__(self, documents: Documents, name: str, paths: Callable[[str], Sequence[str]]) -> None:
        """Remove *paths* of a uid, all of the collection *name*."""
        self._documents = documents
        self._paths = paths
        self.name = name

    async def step(self, learner_id: str, after: str | None) -> Step:  # noqa: ARG002  one step is all
        """See the port."""
        found = await self._documents.get(self._paths(learner_id), only=[_NO_FIELD])
        writes = [Delete(each.path) for each in found if each is not None]
        return Step(writes, counted(self.name, len(writes)))

    async def learners(self, after: str | None) -> Named:  # noqa: ARG002  the paths tell nobody's uid
        """See the port."""
        return Named()


def counted(collection: str, number: int) -> dict[str, int]:
    """*number* documents of *collection*, if there are any."""
    return {collection: number} if number else {}


def following(found: Sequence[Document], page: int) -> str | None:
    """Where the next page begins, if *found* may not be the last one."""
    return found[-1].id if len(found) >= page else None


def replaced(document: Document, fields: Fields) -> Replace:
    """*document* with other *fields*, as long as it is as it was read."""
    return Replace(document.path, fields, document.version)


_NO_FIELD = "nothing"
"""Asked for where only the path matters: there is no such field."""


def _removed(document: Document, _learner_id: str) -> Write:
    return Delete(document.path)


def _behind(query: Find, after: str | None) -> Find:
    """*query* from behind the id *after*, whether there is such a document or not."""
    if after is None:
        return query
    last = Document(f"{query.collection}/{after}", {}, (0, 0))
    return Find(query.collection, only=query.only, after=last, limit=query.limit)
