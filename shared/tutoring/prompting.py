"""
Versioned prompts, and the one way in which they become messages.

A prompt is a file ``prompts/{task}/v{n}.md`` that never changes: another wording is another version.
``prompts/manifest.json`` has the SHA-256 of every file and of its golden set (inputs and the exact
messages sent for them); a test compares them. What learners and teachers wrote goes into a message
of its own, as one JSON object; nothing of it is ever put between the words of a prompt.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared.learning.answers import canonical
from shared.tutoring.languages import NAMES, Language

PROMPTS = Path(__file__).parent / "prompts"

Message = Mapping[str, Any]
Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file; *version* is ``{task}/v{n}``, *digest* the SHA-256 of its bytes."""

    version: str
    text: str
    digest: str


@cache
def prompt(version: str) -> Prompt:
    """
    The prompt of that version.

    Raises:
        FileNotFoundError: there is none.
    """
    raw = (PROMPTS / f"{version}.md").read_bytes()
    return Prompt(version, raw.decode(), hashlib.sha256(raw).hexdigest())


def messages(version: str, language: Language, data: Mapping[str, Any]) -> Messages:
    """
    The prompt of *version* for *language*, and *data* as one JSON object in a message of its own.

    The JSON is canonical, so that equal inputs are equal bytes; ``<`` and what looks like a
    chat template's marks are escaped in it, so that no text can end its own string or message.
    """
    system = prompt(version).text.replace("{language}", NAMES[language])
    fenced = canonical(data).replace("<", "\\u003c").replace("[INST", "\\u005bINST")
    return ({"role": "system", "content": system}, {"role": "user", "content": fenced})
