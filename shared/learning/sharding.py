"""
Which shard of an assignment a learner's answers belong to.

Learners lie on a line, by the first 64 bits of a hash of their id. A shard is an interval of it,
named ``{bits}-{index}``: of 2**bits equal intervals, the one with that index. ``0-0`` is the whole
line. A shard that grows is split into intervals of its own; nothing else moves, and an answer that
comes late finds the shard which now keeps its learner's registers by walking down from the first.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

LINE_BITS = 64


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One interval of the line of learners; ordered by where it begins."""

    index: int
    bits: int

    @property
    def name(self) -> str:
        """The id of this shard's document."""
        return f"{self.bits}-{self.index}"

    @property
    def first(self) -> int:
        """The first position of the interval."""
        return self.index << (LINE_BITS - self.bits)

    def holds(self, position: int) -> bool:
        """Whether *position* lies in this interval."""
        return position >> (LINE_BITS - self.bits) == self.index

    def split(self, by_bits: int) -> tuple["Shard", ...]:
        """The 2**by_bits equal parts of this interval, in order."""
        return tuple(
            Shard(index=(self.index << by_bits) + part, bits=self.bits + by_bits)
            for part in range(1 << by_bits)
        )

    def child(self, position: int, by_bits: int) -> "Shard":
        """The part that holds *position*, after a split by *by_bits*."""
        return at(position, self.bits + by_bits)


WHOLE = Shard(index=0, bits=0)


def at(position: int, bits: int) -> Shard:
    """The one of 2**bits intervals that holds *position*."""
    return Shard(index=position >> (LINE_BITS - bits), bits=bits)


def named(name: str) -> Shard:
    """The shard whose document id is *name*."""
    bits, _, index = name.partition("-")
    return Shard(index=int(index), bits=int(bits))


@lru_cache(maxsize=65_536)
def position(student_id: str) -> int:
    """Where *student_id* lies on the line, from 0 to 2**64 - 1."""
    return int.from_bytes(hashlib.sha256(b"lectern.shard.v1\n" + student_id.encode()).digest()[:8])
