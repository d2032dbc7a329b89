"""
The ways in which such a ledger is usually written, and which lose answers or count them twice.

Each is the product with one safeguard taken out. A layer of tests that can see the difference must
catch it, or the layer proves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.ledger.accepting import PendingAnswers
from shared.ledger.merging import Merger
from shared.ledger.sweeping import Sweep


@dataclass(frozen=True)
class Variant:
    """The parts of a worker, in the place of which a mutant puts its own."""

    name: str
    documents: Callable[[Any], Any] = lambda documents: documents
    pending_answers: type[PendingAnswers] = PendingAnswers
    merger: type[Merger] = Merger
    sweep: type[Sweep] = Sweep


SOUND = Variant("sound")
