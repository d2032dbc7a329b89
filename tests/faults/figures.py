"""What a test measured, for the table of the long run; without one, nothing is written."""

import json
import os
from pathlib import Path

VARIABLE = "LECTERN_FIGURES"


def note(**figures: float) -> None:
    """Add *figures* to those of this run: one JSON object a line."""
    path = os.environ.get(VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(figures) + "\n")


def number(name: str, otherwise: int) -> int:
    """The number in the environment variable *name*: how much of something a long run wants."""
    return int(os.environ.get(name, otherwise))
