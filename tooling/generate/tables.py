"""``docs/functions.md``: every function in a table."""

from collections.abc import Sequence

from shared.edge.registry import ClientCall, Deployment, DocumentTrigger, ScheduleTrigger, TopicTrigger

_HEADER = """\
<!-- Made from the function registry by `make generate`; do not edit. -->

# Functions

Called by clients as a [callable](https://firebase.google.com/docs/functions/callable-reference) or as plain
REST (`openapi.json` has the models):

| function | what it does | who | body at most | deadline |
|---|---|---|---|---|
"""


def render(functions: Sequence[Deployment]) -> str:
    """The text of ``docs/functions.md``."""
    lines = [_HEADER]
    for each in functions:
        if each.for_clients:
            size = f"{each.max_body_bytes // 1024} KiB"
            streamed = " Streamed to those who accept events." if _streams(each) else ""
            cells = [
                f"`{each.name}`",
                each.summary + streamed,
                each.role.value,
                size,
                f"{each.deadline_seconds} s",
            ]
            lines.append(f"| {' | '.join(cells)} |\n")
    lines.append(
        "\nWoken by the platform:\n\n| function | what it does | by | deadline |\n|---|---|---|---|\n"
    )
    lines += [
        f"| `{each.name}` | {each.summary} | {_by(each)} | {each.deadline_seconds} s |\n"
        for each in functions
        if not each.for_clients
    ]
    return "".join(lines)


def _streams(function: Deployment) -> bool:
    return isinstance(function.trigger, ClientCall) and function.trigger.sends is not None


def _by(function: Deployment) -> str:
    match function.trigger:
        case TopicTrigger(topic=topic, doorbell=True):
            return f"topic `{topic}` (Eventarc, retried)"
        case TopicTrigger() as trigger:
            dead = f"after {trigger.max_delivery_attempts} attempts `{trigger.dead_letter_topic}`"
            return f"topic `{trigger.topic}` (own subscription; {dead})"
        case DocumentTrigger(document=document):
            return f"a new document `{document}` (retried)"
        case ScheduleTrigger(schedule=schedule, time_zone=zone):
            return f"schedule `{schedule}` ({zone})"
    return ""
