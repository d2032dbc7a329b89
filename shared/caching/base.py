"""What may be kept, of whom, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheUse:
    """
    How one reply is cached: under the registry's *entry*, by *parts*, for *uid*.

    *parts* are everything that the reply depends on besides the messages, the model and the schema:
    versions of the prompt and of the rubric, for instance. An entry of personal scope needs a *uid*, one
    of public scope has none.
    """

    entry: str
    parts: tuple[str, ...]
    uid: str = ""
