"""Texts that must not turn up, and all the disguises in which they might."""

import base64
import json
import urllib.parse


def disguises(canary: str) -> dict[str, bytes]:
    """The ways in which a text may be hidden in another, as bytes that would then be found there."""
    plain = canary.encode()
    found = {
        "plain": plain,
        "lower": plain.lower(),
        "upper": plain.upper(),
        "reversed": plain[::-1],
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "JSON": json.dumps(canary)[1:-1].encode(),
        "JSON twice": json.dumps(json.dumps(canary))[3:-3].encode(),
        "URL": urllib.parse.quote(canary).encode(),
        "UTF-16": canary.encode("utf-16-le"),
        "escapes": "".join(f"\\u{ord(each):04x}" for each in canary).encode(),
    }
    for offset in range(3):  # in base64, a text looks different at each of three places
        whole = base64.b64encode(b"\0" * offset + plain)
        inner = whole[(offset * 8 + 5) // 6 : len(whole) - 4]
        found[f"base64 at {offset}"] = inner
        found[f"URL-safe base64 at {offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def seen(canary: str, text: bytes) -> list[str]:
    """In which disguises *canary* is in *text*."""
    return [name for name, form in disguises(canary).items() if form in text]
