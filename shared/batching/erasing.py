"""Where the queue keeps something of learners: what waits goes; no batch names anybody."""

from shared.batching.queue import QUEUED_EVALUATIONS
from shared.documents.base import Documents
from shared.documents.erasing import Place, Scanned


def queued(documents: Documents) -> Place:
    """
    Evaluations that are waited for, also those in a batch.

    What the provider replies about one that is gone is not kept: a batch ends with the items that are left.
    """
    return Scanned(
        documents, QUEUED_EVALUATIONS, only=["learnerId"], who=lambda fields: [fields["learnerId"]]
    )
