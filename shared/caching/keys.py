"""Keys of cached things: what they depend on, sealed, so that a store tells nobody anything."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from shared.caching.registry import ENTRIES, Entry


class Key(NamedTuple):
    """One cached thing: of which kind, whose (empty for everybody's), under which name."""

    entry: Entry
    owner: str
    name: str


class Keys:
    """Makes keys; only who has the *secret* could guess one."""

    def __init__(self, secret: bytes, *, tenant: str = "default") -> None:
        """Seal keys of *tenant* with *secret*, by BLAKE2's own keyed mode, whose keys have 64 bytes."""
        self._sealed = blake2b(digest_size=32, key=blake2b(secret).digest(), person=b"lectern.cache")
        self._sealed.update(_packed([tenant.encode()]))

    def key(
        self,
        entry: str,
        parts: Mapping[str, str | bytes],
        *,
        uid: str = "",
        generations: Sequence[int] = (),
    ) -> Key:
        """
        The key of a thing of kind *entry* with these *parts*.

        Raises:
            ValueError: a personal kind without a uid, a public one with one, or other parts than declared.
        """
        kind = ENTRIES[entry]
        if kind.personal is not bool(uid):
            message = f"a key of {entry} {'needs' if kind.personal else 'has no'} uid"
            raise ValueError(message)
        given = {**parts, "uid": uid} if uid else parts
        if given.keys() != kind.needs:
            message = f"a key of {entry} has the parts {', '.join(kind.parts)}"
            raise ValueError(message)
        material = [entry, *[given[name] for name in kind.parts], *map(str, generations)]
        sealed = self._sealed.copy()
        sealed.update(_packed([each.encode() if isinstance(each, str) else each for each in material]))
        return Key(kind, uid, sealed.hexdigest())


def _packed(parts: Sequence[bytes]) -> bytes:
    """*parts* with their lengths before them: no two lists give the same bytes."""
    return b"%d:" % len(parts) + b"".join([b"%d:%b" % (len(part), part) for part in parts])
