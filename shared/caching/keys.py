"""Keys of cached things: what they depend on, sealed, so that a store tells nobody anything."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from shared.caching.registry import ENTRIES, Entry


@dataclass(frozen=True, slots=True)
class Key:
    """One cached thing: of which kind, whose (empty for everybody's), under which name."""

    entry: Entry
    owner: str
    name: str


class Keys:
    """Makes keys; only who has the *secret* could guess one."""

    def __init__(self, secret: bytes, *, tenant: str = "default") -> None:
        """Seal keys of *tenant* with *secret*."""
        self._sealed = hmac.new(secret, b"lectern.cache\n" + _packed([tenant.encode()]), sha256)

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
        if given.keys() != set(kind.parts):
            message = f"a key of {entry} has the parts {', '.join(kind.parts)}"
            raise ValueError(message)
        values = [given[name] for name in kind.parts]
        material = [
            entry.encode(),
            *(each.encode() if isinstance(each, str) else each for each in values),
            *(str(each).encode() for each in generations),
        ]
        sealed = self._sealed.copy()
        sealed.update(_packed(material))
        return Key(kind, uid, sealed.hexdigest())


def _packed(parts: Sequence[bytes]) -> bytes:
    """*parts* with their lengths before them: no two lists give the same bytes."""
    return b"%d:" % len(parts) + b"".join(b"%d:%b" % (len(part), part) for part in parts)
