"""The part of ``docs/operations.md`` about erasing learners: what is done, and what no call reaches."""

from shared.erasures.collections import FATES, Fate
from shared.erasures.record import QUIET

_TOLD = {
    Fate.REMOVED: "what is theirs goes",
    Fate.UNNAMED: "stays for others without their name: points in the figures of agreement, amounts of "
    "money, what they decided as a teacher",
    Fate.LEDGER: "answers, and what follows from them: removed by the ledger, by their mark",
    Fate.MARKED: "keeps their mark, to refuse what comes late and to prove what was done",
    Fate.NOBODY: "names no learner",
}


def section() -> str:
    """The section, with a table of all collections."""
    minutes = int(QUIET.total_seconds()) // 60
    fates = "\n".join(
        f"| {', '.join(f'`{name}`' for name in sorted(FATES) if FATES[name] is fate)} | {told} |"
        for fate, told in _TOLD.items()
    )
    return f"""## Erasing a learner

An admin (custom claim `role: admin`) who has signed in within the last 15 minutes calls `erase_learner`
with the uid, twice: `{{"learnerId": "…", "confirm": "…"}}`. The reply names the erasure. From then on, the
account is gone, late answers are refused, and everything is gone through that could have something of them:

| collections | what becomes of it |
|---|---|
{fates}

What is not done at once, `continue_erasures` does within the hour. {minutes} minutes after a pass over
everything, when nothing that was under way before it can still be written, another one follows, until one
finds nothing: then the uid leaves the erasure, and `get_erasure` has a receipt with counts by collection,
which `verify_erasure` reads for whoever holds it. So an erasure is closed after one or two hours at the
earliest. Calling again tells how it stands; a learner who has come back is erased once more. A teacher's
courses stay, with what they wrote as authors; free text in which somebody else names the learner is not
found, such as a teacher's comment to another. Do not give a uid that was erased to somebody new: their
answers would be refused.

Who asked is in `auditRecords`, by a mark: `shared.learning.marks.mark(receipt key, uid)` says whether it
was a certain admin. With another receipt key nobody is recognised by their mark: keep an old key as long as
backups of its time.

**After a restore**, before anybody else is let in: set `LECTERN_DATABASE` to the restored database, then
call `reapply_erasures` (again with `cursor`, while the reply has a `nextCursor`). It reads in the archive
who was erased, looks for them in every place and in the accounts, and erases them again; answers of which
nothing else is left go by their marks. Repeat it after {minutes} minutes, until it meets nobody. Without
`LECTERN_ARCHIVE_URL` nothing outside the database knows who was erased, and the log says so
(`erasure_kept_nowhere_else`).

What no call can edit ends by itself, and this is what may be told to whoever asks:

| where | until |
|---|---|
| point-in-time recovery of Firestore | 7 days |
| backups of Firestore | 98 days, the weekly ones |
| messages in Pub/Sub that nobody took | 7 days; those set aside of `answers-incoming` 31 days |
| objects deleted from the archive (soft delete) | 7 days |
| logs, which name ids and never uids | 30 days, unless the project says otherwise |
| an instance's memory: who may do what, and replies to a learner | half a minute of work, or its end |
| a reply kept for everybody about a few words, which others may have written as well | a day |
| limits that are counted in Redis | their window, at most an hour |
| the provider of models, which gets texts and no uid | what its terms say; for OpenAI's interface 30 days |
"""
