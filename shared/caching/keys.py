"""Keys of cached things: what they depend on, sealed, so that a store tells nobody anything."""

import hmac
from collections.abc import Mapping, Sequence
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
        """Seal keys of *tenant* with *secret*, by HMAC-SHA256."""
        self._secret = hmac.digest(secret, b"lectern.cache\n" + _packed([tenant.encode()]), "sha256")

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
        packed = _packed([each.encode() if isinstance(each, str) else each for each in material])
        return Key(kind, uid, hmac.digest(self._secret, packed, "sha256").hex())


def _packed(parts: Sequence[bytes]) -> bytes:
    """*parts* with their lengths before them: no two lists give the same bytes."""
    return b"%d:" % len(parts) + b"".join([b"%d:%b" % (len(part), part) for part in parts])
