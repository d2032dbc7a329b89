"""A worker that merges, step by step, in virtual time: every pause, batch and failure is exact."""

import asyncio
import functools
import gc
import itertools
import time
from collections import deque
from datetime import UTC, datetime

import pytest

from shared import metrics
from shared.documents.base import Create, Replace
from shared.documents.memory import MemoryDocuments
from shared.documents.metering import bill, charge
from shared.errors import Conflict, NotFound, PreconditionLost, Unavailable
from shared.learning import segments
from shared.learning.answers import AnswerSubmitted, canonical
from shared.learning.assignments import Grading, GradingPolicy
from shared.learning.registers import Registers
from shared.learning.sharding import WHOLE, position
from shared.ledger import merging
from shared.ledger.merging import Merger, MergeSettings
from shared.ledger.shards import Shards, ShardState
from shared.ledger.tombstones import Tombstones
from tests.simulation import forms
from tests.simulation.loop import SimulatedLoop

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FORM = forms.make("exam", 2, GradingPolicy())
GRADING = Grading.of(FORM.assignment, FORM.keys)
QUESTION = "one"
ANSWER = canonical(forms.ANSWERS[QUESTION][0])
HEAD = "ledgers/exam/shards/0-0"


def in_virtual_time(test):
    """Run an async test on a loop whose time is that of its timers."""

    @functools.wraps(test)
    def run(self, *arguments, **keywords):
        loop = SimulatedLoop()
        loop.run(test(self, *arguments, **keywords))
        gc.collect()
        assert loop.complaints == []

    return run


class Store(MemoryDocuments):
    """Notes when what was committed; commits and deletions fail as *commits* and *deletions* say, then succeed."""

    def __init__(self):
        super().__init__()
        self.log = []
        self.commits = deque()
        self.deletions = deque()
        self.seconds = 0.0
        self.figures = None

    async def commit(self, writes):
        path = writes[0].path
        self.log.append((round(asyncio.get_running_loop().time(), 6), path, len(writes)))
        charge(writes=len(writes))
        if self.seconds:
            await asyncio.sleep(self.seconds)
        failure = self.commits.popleft() if self.commits and "/shards/" in path else None
        if isinstance(failure, tuple):  # it happens, and nobody hears of it
            await super().commit(writes)
            [failure] = failure
        if failure is None and path.startswith("assignments/"):
            failure = self.figures
        if failure is not None:
            raise failure
        return await super().commit(writes)

    async def delete_each(self, paths):
        self.log.append((round(asyncio.get_running_loop().time(), 6), "delete", len(paths)))
        if self.deletions and (failure := self.deletions.popleft()) is not None:
            raise failure
        await super().delete_each(paths)

    def times(self, beginning):
        return [at for at, path, _ in self.log if path.startswith(beginning)]

    def count(self, beginning):
        return len(self.times(beginning))


def answer(number, student=None, text=ANSWER, question=QUESTION, assignment="exam"):
    return AnswerSubmitted(
        assignment, question, student or f"s-{number}", f"submission-{number}", text, number, "function"
    )


def nobody_erased():
    return Tombstones(MemoryDocuments(), key=b"key", clock=time.monotonic)


class Work:
    """A worker, its store, and pending answers in it."""

    def __init__(self, **settings):
        self.store = Store()
        self.store._documents.clear()
        usual = {"gather_seconds": 0.15, "gather_events": 10, "merge_seconds": 1.0, "rollup_seconds": 0.0}
        self.settings = MergeSettings(**{**usual, **settings})
        self.jitters = 0

    async def open(self):
        await self.store.commit(forms.documents_of(FORM, NOW))
        self.store.log.clear()
        self.merger = self.another()
        return self

    def another(self):
        return self.with_keys(self.grading)

    def with_keys(self, grading_of):
        return Merger(
            self.store,
            grading_of=grading_of,
            now=lambda: NOW,
            tombstones=nobody_erased(),
            settings=self.settings,
            jitter=self.jitter,
        )

    def jitter(self):
        self.jitters += 1
        return 0.5

    async def grading(self, assignment_id):
        if assignment_id != "exam":
            raise NotFound("no")
        return GRADING

    async def pend(self, *events):
        for start in range(0, len(events), 500):
            creations = [
                Create(f"pendingAnswers/{each.event_id}", {"event": "…"})
                for each in events[start : start + 500]
            ]
            await self.store.create_each(creations)
        return list(events)

    async def pending(self):
        return await self.store.scan("pendingAnswers", limit=100_000)

    async def merge(self, *events, merger=None, by="message", forget=True):
        await (merger or self.merger).merge(await self.pend(*events), by=by, forget=forget)

    async def state(self, shard=WHOLE):
        return await Shards(self.store).load(GRADING, shard)

    async def shown(self):
        [document] = await self.store.get(["assignments/exam"])
        as_of = document.fields.get("asOf") or {"events": 0, "pending": 0}
        return as_of["events"], as_of["pending"]


def merged(by):
    return metrics.REGISTRY.get_sample_value("lectern_answers_merged_total", {"by": by}) or 0


def counted(name, **labels):
    return metrics.REGISTRY.get_sample_value(f"lectern_{name}_total", labels) or 0


class TestGathering:
    @in_virtual_time
    async def test_a_first_answer_waits_for_company_and_is_gone_from_pending_when_it_is_merged(self):
        work = await Work().open()
        await work.merge(answer(1))
        assert work.store.log == [(0.15, HEAD + "/segments/0000000001", 2), (0.15, "delete", 1),
                                  (0.15, "assignments/exam", 2)]  # fmt: skip
        assert await work.pending() == []
        assert await work.shown() == (1, 0)
        assert (await work.state()).registers.events == 1

    @in_virtual_time
    async def test_ten_do_not_wait(self):
        work = await Work().open()
        await asyncio.gather(*(work.merge(answer(n)) for n in range(10)))
        assert work.store.times(HEAD) == [0.0]

    @in_virtual_time
    async def test_the_tenth_ends_the_waiting(self):
        work = await Work().open()

        async def later(number):
            await asyncio.sleep(number / 100)
            await work.merge(answer(number))

        await asyncio.gather(*(later(n) for n in range(12)))
        assert work.store.times(HEAD) == [0.09, 1.09]
        assert await work.shown() == (12, 0)

    @in_virtual_time
    async def test_merges_into_one_shard_lie_a_second_apart(self):
        work = await Work().open()

        async def later(number):
            await asyncio.sleep(number / 10)
            await work.merge(answer(number))

        await asyncio.gather(*(later(n) for n in range(40)))
        assert work.store.times(HEAD) == [0.15, 1.15, 2.15, 3.15, 4.15]

    @in_virtual_time
    async def test_a_crowd_does_not_rest(self):
        work = await Work(crowd_events=30).open()
        await work.merge(answer(0))

        async def later(number):
            await asyncio.sleep(number / 100)
            await work.merge(answer(number))

        await asyncio.gather(*(later(n) for n in range(1, 41)))
        assert work.store.times(HEAD) == [0.15, 0.45, 1.45]

    @in_virtual_time
    async def test_after_a_rest_the_next_waits_for_company_again(self):
        work = await Work().open()
        await work.merge(answer(1))
        await asyncio.sleep(5)
        await work.merge(answer(2))
        assert work.store.times(HEAD) == [0.15, 5.3]

    @in_virtual_time
    async def test_another_assignment_or_shard_does_not_hold_it_up(self):
        work = await Work(gather_seconds=0.0).open()
        await asyncio.gather(work.merge(answer(1)), work.merge(answer(2)))
        assert work.store.times(HEAD) == [0.0]
        assert work.merger._lanes == {}


class TestBatches:
    @in_virtual_time
    async def test_a_batch_is_one_commit_one_deletion_and_one_look_at_the_figures(self):
        work = await Work().open()
        await asyncio.gather(*(work.merge(answer(n)) for n in range(9)))
        assert [path.partition("/")[0] for _, path, _ in work.store.log] == [
            "ledgers",
            "delete",
            "assignments",
        ]
        assert work.store.log[1][2] == 9

    @in_virtual_time
    async def test_every_caller_of_a_sweep_waits_for_the_figures_and_deletes_nothing(self):
        work = await Work(rollup_seconds=3.0).open()
        await work.merge(answer(1))
        sweep = asyncio.create_task(work.merge(answer(2), by="sweep", forget=False))
        await asyncio.sleep(2.5)
        assert not sweep.done()
        await sweep
        assert await work.shown() == (2, 0)
        assert len(await work.pending()) == 1

    @in_virtual_time
    async def test_only_the_first_caller_of_a_batch_waits_for_the_figures(self):
        work = await Work(rollup_seconds=10.0, gather_seconds=0.0, merge_seconds=0.0).open()
        await work.merge(answer(0))
        tasks = [asyncio.create_task(work.merge(answer(n))) for n in (1, 2, 3)]
        await asyncio.sleep(1)
        assert [task.done() for task in tasks] == [False, True, True]
        await asyncio.gather(*tasks)
        assert await work.shown() == (4, 0)

    @in_virtual_time
    async def test_a_caller_that_was_cut_off_does_not_lead(self):
        work = await Work(rollup_seconds=10.0).open()
        await work.merge(answer(0))
        tasks = [asyncio.create_task(work.merge(answer(n))) for n in (1, 2, 3)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        await asyncio.sleep(2)
        assert [task.done() for task in tasks] == [True, False, True]
        await asyncio.gather(*tasks[1:])
        assert await work.shown() == (4, 0)

    @in_virtual_time
    async def test_one_who_brought_something_new_leads(self):
        work = await Work(rollup_seconds=10.0).open()
        await work.merge(answer(0))
        tasks = [asyncio.create_task(work.merge(*(answer(n) for n in some))) for some in ([0], [0, 1], [2])]
        await asyncio.sleep(2)
        assert [task.done() for task in tasks] == [True, False, True]
        await asyncio.gather(*tasks)
        assert await work.shown() == (3, 0)

    @in_virtual_time
    async def test_where_all_were_cut_off_the_worker_itself_sees_to_the_figures(self):
        for failure in (None, Unavailable("away")):
            work = await Work(rollup_seconds=0.0).open()
            await work.merge(answer(0))
            tasks = [asyncio.create_task(work.merge(answer(n))) for n in (1, 2)]
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            work.store.figures = failure
            await asyncio.sleep(2)
            assert all(task.cancelled() for task in tasks)
            assert await work.shown() == ((3, 0) if failure is None else (1, 0))
            work.store.figures = None
            await work.merge(answer(0))
            assert await work.shown() == (3, 0)

    @in_virtual_time
    async def test_what_a_caller_that_was_cut_off_brought_is_not_shown_as_waiting(self):
        work = await Work(gather_seconds=1.0).open()
        staying = asyncio.create_task(work.merge(answer(1), answer(2)))
        leaving = asyncio.create_task(work.merge(answer(3)))
        await asyncio.sleep(0.01)
        assert work.merger.waiting("exam") == 3
        leaving.cancel()
        await asyncio.sleep(0.01)
        assert work.merger.waiting("exam") == 2
        work.store.seconds = 1.0
        await asyncio.sleep(1.2)
        assert work.merger.waiting("exam") == 2  # on its way
        await staying
        assert await work.shown() == (3, 0)

    @in_virtual_time
    async def test_two_thousand_at_most_go_together(self):
        work = await Work(merge_seconds=0.0).open()
        await asyncio.gather(*(work.merge(*(answer(500 * k + n) for n in range(500))) for k in range(9)))
        assert [each.count for each in await segments_of(work)] == [2000, 2000, 500]

    @pytest.mark.parametrize("text", ["x" * 904, "ש" * 452])
    @in_virtual_time
    async def test_six_hundred_kilobytes_at_most_go_together(self, text):
        work = await Work(merge_seconds=0.0).open()
        text = canonical({"text": text})
        essay = next(name for name, answers in forms.ANSWERS.items() if "text" in answers[0])
        form = forms.make("exam", len(forms.ANSWERS), GradingPolicy())
        all_questions = Grading.of(form.assignment, form.keys)

        async def grading(_assignment_id):
            return all_questions

        merger = work.with_keys(grading)
        tasks = [work.merge(answer(n, text=text, question=essay), merger=merger) for n in range(1000, 2300)]
        await asyncio.gather(*tasks)
        counts = [each.count for each in await segments_of(work)]
        assert counts == [600, 600, 100]

    @in_virtual_time
    async def test_one_offer_larger_than_that_is_cut(self):
        work = await Work(merge_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(4500)))
        assert [each.count for each in await segments_of(work)] == [2000, 2000, 500]
        assert await work.pending() == []

    def test_parts_are_as_large_as_a_segment_may_be(self):
        def cut(*events):
            return [(len(part), size) for part, size in merging._cut(events)]

        small = [answer(n, student="s", text="x") for n in range(1000, 1000 + 4500)]
        weight = 1 + 1 + len("submission-1000") + 64
        assert cut(*small) == [(2000, 2000 * weight), (2000, 2000 * weight), (500, 500 * weight)]
        exact = [answer(n, student="s", text="x" * (1001 - weight)) for n in range(1000, 2300)]
        assert cut(*exact) == [(600, 600_000), (600, 600_000), (100, 100_000)]
        huge = answer(1000, student="s", text="x" * (600_002 - weight))
        assert cut(huge) == [(1, 600_001)]
        assert cut(small[0], huge, small[1]) == [(1, weight), (1, 600_001), (1, weight)]

    @in_virtual_time
    async def test_deletions_go_by_the_five_hundred_and_name_nothing_twice(self):
        work = await Work().open()
        events = [answer(n) for n in range(1200)]
        await work.merge(*events)
        await work.merger.merge([*events[:20], *events[:20]], by="message")
        assert [n for _, path, n in work.store.log if path == "delete"] == [500, 500, 200, 20]

    @in_virtual_time
    async def test_what_waits_is_known(self):
        work = await Work().open()
        work.store.seconds = 1.0
        task = asyncio.create_task(work.merge(answer(1), answer(2)))
        await asyncio.sleep(0.05)
        assert work.merger.waiting("exam") == 2
        assert work.merger.waiting("other") == 0
        await asyncio.sleep(0.5)
        assert work.merger.waiting("exam") == 2  # on its way
        another = asyncio.create_task(work.merge(answer(3)))
        await asyncio.sleep(0.01)
        assert work.merger.waiting("exam") == 3
        await asyncio.gather(task, another)
        assert work.merger.waiting("exam") == 0

    @in_virtual_time
    async def test_what_was_merged_waits_no_more(self):
        work = await Work().open()
        work.store.seconds = 0.5
        first = asyncio.create_task(work.merge(answer(1), answer(2)))
        await asyncio.sleep(0.3)
        second = asyncio.create_task(work.merge(answer(3)))
        await asyncio.sleep(0.5)
        assert work.merger.waiting("exam") == 1
        await asyncio.gather(first, second)

    @in_virtual_time
    async def test_a_batch_is_paid_by_all_whose_answers_are_in_it(self):
        work = await Work().open()

        async def paid(number):
            with bill() as spent:
                await work.merge(answer(number))
            return spent.writes

        shares = await asyncio.gather(paid(1), paid(2))
        assert sum(shares) == 4
        assert min(shares) == 1


async def segments_of(work):
    found = []
    for document in await work.store.scan(HEAD + "/segments", limit=1000):
        found += [type("Part", (), {"count": part["count"]}) for part in document.fields["parts"]]
    return found


class TestRefusals:
    @in_virtual_time
    async def test_answers_to_no_assignment_are_kept_as_refused(self):
        work = await Work().open()
        lost = answer(1, assignment="other")
        await work.merge(lost, answer(2))
        [refused] = await work.store.get([f"rejectedAnswers/{lost.event_id}"])
        assert refused.fields["reason"] == "there is no such assignment"
        assert refused.fields["at"] == NOW
        assert '"submission-1"' in refused.fields["event"]
        assert await work.pending() == []
        assert await work.shown() == (1, 0)

    @in_virtual_time
    async def test_a_sweep_leaves_them_pending(self):
        work = await Work().open()
        await work.merge(answer(1, assignment="other"), by="sweep", forget=False)
        assert len(await work.pending()) == 1
        assert len(await work.store.scan("rejectedAnswers")) == 1

    @in_virtual_time
    async def test_what_cannot_be_graded_is_refused_and_the_rest_is_merged(self):
        before = counted("answers_refused")
        work = await Work().open()
        bad = [answer(n, text='{"nonsense":1}') for n in range(120)]
        await work.merge(*bad, answer(500))
        assert len(await work.store.scan("rejectedAnswers")) == 120
        assert [n for _, path, n in work.store.log if path.startswith("rejected")] == [50, 50, 20]
        assert await work.shown() == (1, 0)
        assert counted("answers_refused") - before == 120

    @in_virtual_time
    async def test_where_everything_is_refused_nothing_is_committed(self):
        work = await Work().open()
        await work.merge(answer(1, text='{"nonsense":1}'))
        assert work.store.count(HEAD) == 0
        assert await work.pending() == []


class TestRepetition:
    @in_virtual_time
    async def test_an_answer_that_comes_again_changes_nothing(self):
        work = await Work(merge_seconds=0.0).open()
        repeated, fresh = counted("answers_repeated"), merged("message")
        commits = counted("merge_commits", outcome="done")
        await work.merge(answer(1))
        await work.merge(answer(1))
        await work.merge(answer(1), merger=work.another())
        assert work.store.count(HEAD) == 1
        assert await work.pending() == []
        assert counted("answers_repeated") - repeated == 2
        assert merged("message") - fresh == 1
        assert counted("merge_commits", outcome="done") - commits == 1

    @in_virtual_time
    async def test_who_brought_an_answer_is_counted(self):
        work = await Work().open()
        before = {by: merged(by) for by in ("message", "trigger", "sweep")}
        await asyncio.gather(
            work.merge(answer(1), answer(2)),
            work.merge(answer(3), by="trigger"),
            work.merge(answer(4), by="sweep", forget=False),
        )
        assert {by: merged(by) - before[by] for by in before} == {"message": 2, "trigger": 1, "sweep": 1}


class TestRaces:
    @pytest.mark.parametrize("failure", [PreconditionLost("x"), Conflict("x")])
    @in_virtual_time
    async def test_after_a_lost_race_it_reads_and_folds_again(self, failure):
        work = await Work(merge_seconds=0.0).open()
        lost, done = (counted("merge_commits", outcome=each) for each in ("lost", "done"))
        await work.merge(answer(1))
        await work.merge(answer(2), merger=work.another())
        work.store.commits.extend([failure, failure])
        work.store.log.clear()
        began = asyncio.get_running_loop().time()
        await work.merge(answer(3))
        # The remembered shard is old, the first commit is lost for that; two more fail as told.
        waits = [0.0, 0.02 * 2 * 0.5, 0.02 * 4 * 0.5, 0.02 * 8 * 0.5][: work.store.count(HEAD)]
        at = began + 0.15
        expected = []
        for wait in waits:
            at += wait
            expected.append(round(at, 6))
        assert work.store.times(HEAD) == expected
        assert (await work.state()).registers.events == 3
        assert counted("merge_commits", outcome="lost") - lost == len(expected) - 1
        assert counted("merge_commits", outcome="done") - done == 3

    async def race(self, work, *, missed=1):
        """Let another worker merge *missed* times what this one has not seen; what this one then reads."""
        await work.merge(answer(1))
        other = work.another()
        for number in range(missed):
            await work.merge(answer(100 + number), merger=other)
        get, reads = work.store.get, []

        async def noted(paths, *, only=None):
            if "/shards/" in paths[0]:
                reads.append((list(paths), only and sorted(only)))
            return await get(paths, only=only)

        work.store.get = noted
        return reads

    @in_virtual_time
    async def test_after_a_lost_race_it_reads_what_was_appended_and_no_page(self):
        work = await Work(merge_seconds=0.0).open()
        reads = await self.race(work, missed=8)
        await work.merge(answer(2))
        head, tail = reads
        assert head == (
            [HEAD],
            ["digest", "erased", "erasing", "events", "pageSeq", "seq", "splitBits", "sums"],
        )
        assert tail == ([f"{HEAD}/segments/{seq:010d}" for seq in range(2, 10)], None)
        state = await work.state()
        assert (state.registers.events, state.seq) == (10, 10)
        # What it knows is the shard as it is stored.
        kept = work.merger._states.get(("exam", WHOLE))
        assert (kept.seq, kept.digest, kept.version) == (state.seq, state.digest, state.version)
        assert kept.registers.encode() == state.registers.encode()
        assert kept.registers.sums.encode() == state.registers.sums.encode()

    @in_virtual_time
    async def test_what_another_has_merged_meanwhile_is_not_merged_again(self):
        work = await Work(merge_seconds=0.0).open()
        await self.race(work, missed=2)
        again = counted("answers_repeated")
        work.store.log.clear()
        await work.merge(answer(100), answer(2))
        assert [part.count for part in (await segments_of(work))[3:]] == [1]
        assert counted("answers_repeated") - again == 1
        await work.merge(answer(101))
        assert (await work.state()).registers.events == 4
        assert await work.pending() == []

    @in_virtual_time
    async def test_where_all_was_merged_by_another_nothing_is_written(self):
        work = await Work(merge_seconds=0.0).open()
        await self.race(work)
        await work.merge(answer(100))
        assert (await work.state()).seq == 2
        assert work.merger._states.get(("exam", WHOLE)).seq == 2

    @in_virtual_time
    async def test_whoever_missed_more_loads_the_shard_again(self):
        work = await Work(merge_seconds=0.0).open()
        reads = await self.race(work, missed=9)
        await work.merge(answer(2))
        assert [only is None for _, only in reads] == [False, True]
        assert (await work.state()).registers.events == 11

    @in_virtual_time
    async def test_where_segments_were_joined_it_loads_the_shard_again(self):
        work = await Work(merge_seconds=0.0).open()
        reads = await self.race(work, missed=2)
        await work.store.delete_each([f"{HEAD}/segments/0000000002"])
        await work.merge(answer(2))
        assert [only is None for _, only in reads] == [False, True, True]
        assert (await work.state()).registers.events == 4

    @in_virtual_time
    async def test_where_segments_were_archived_it_loads_the_shard_again(self):
        work = await Work(merge_seconds=0.0).open()
        reads = await self.race(work, missed=2)
        [segment] = await MemoryDocuments.get(work.store, [f"{HEAD}/segments/0000000002"])
        await work.store.commit([Replace(segment.path, {"body": b"", "archive": "x"}, segment.version)])
        await work.merge(answer(2))
        assert [only is None for _, only in reads] == [False, True, True]
        assert (await work.state()).registers.events == 4

    @in_virtual_time
    async def test_of_two_answers_that_claim_to_be_the_same_the_one_on_record_counts(self):
        work = await Work(merge_seconds=0.0).open()
        reads = await self.race(work)
        other = answer(100, text=canonical(forms.ANSWERS[QUESTION][1]))
        assert other.event_id == answer(100).event_id
        await work.merge(other, answer(2))
        assert [only is None for _, only in reads] == [False, True, True]
        kept, stored = work.merger._states.get(("exam", WHOLE)), await work.state()
        assert kept.registers.encode() == stored.registers.encode()
        assert kept.registers.sums.encode() == stored.registers.sums.encode()
        [attempt] = kept.registers.rows["s-100"].attempts[0]
        assert attempt.credit == GRADING.grade(0, ANSWER)[0]

    @in_virtual_time
    async def test_a_segment_that_does_not_follow_is_not_built_upon(self):
        work = await Work(merge_seconds=0.0).open()
        reads = await self.race(work)
        work.merger._states.get(("exam", WHOLE)).digest = "0" * 64
        await work.merge(answer(2))
        assert [only is None for _, only in reads] == [False, True, True]
        assert (await work.state()).registers.events == 3

    @in_virtual_time
    async def test_it_gives_up_after_ten_tries_and_the_answers_stay(self):
        work = await Work().open()
        work.store.commits.extend([PreconditionLost("x")] * 10)
        with pytest.raises(Unavailable, match="other workers kept being first"):
            await work.merge(answer(1))
        assert work.store.count(HEAD) == 10
        pauses = [0.02 * 2 ** min(n, 5) * 0.5 for n in range(1, 10)]
        assert work.store.times(HEAD)[-1] == round(0.15 + sum(pauses), 6)
        assert len(await work.pending()) == 1
        assert work.merger._lanes == {}
        await work.merge(answer(1))
        assert await work.shown() == (1, 0)

    @in_virtual_time
    async def test_a_commit_of_unknown_fate_is_found_again(self):
        work = await Work().open()
        unknown = counted("merge_commits", outcome="unknown")
        work.store.commits.append((Unavailable("no reply"),))
        await work.merge(answer(1))
        assert work.store.count(HEAD) == 1
        assert await work.shown() == (1, 0)
        assert await work.pending() == []
        assert counted("merge_commits", outcome="unknown") - unknown == 1

    @in_virtual_time
    async def test_a_store_that_stays_away_is_told_to_the_callers(self):
        work = await Work().open()
        work.store.commits.extend([Unavailable("away")] * 10)
        tasks = [work.merge(answer(1)), work.merge(answer(2))]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(each) for each in outcomes] == ["away", "away"]
        assert work.store.count(HEAD) == 10
        assert len(await work.pending()) == 2

    @in_virtual_time
    async def test_a_merge_that_takes_too_long_is_given_up(self):
        work = await Work().open()
        work.store.seconds = 100.0
        with pytest.raises(Unavailable, match="took too long"):
            await work.merge(answer(1))
        assert asyncio.get_running_loop().time() == pytest.approx(45.15)

    @in_virtual_time
    async def test_pending_answers_that_could_not_be_deleted_are_told(self):
        work = await Work().open()
        work.store.deletions.append(Unavailable("away"))
        with pytest.raises(Unavailable, match="pending answers may be left"):
            await work.merge(answer(1))
        await work.merger.merge([answer(1)], by="message")
        assert await work.pending() == []
        assert await work.shown() == (1, 0)

    @in_virtual_time
    async def test_a_process_that_is_ending_tells_its_callers(self):
        work = await Work().open()
        work.store.commits.append(asyncio.CancelledError())
        with pytest.raises(Unavailable, match="the merge was cut off"):
            await work.merge(answer(1))
        work.store.deletions.append(asyncio.CancelledError())
        with pytest.raises(Unavailable, match="pending answers may be left"):
            await work.merge(answer(1))

    @in_virtual_time
    async def test_what_follows_a_commit_does_not_hold_up_the_next(self):
        work = await Work(merge_seconds=0.0, gather_seconds=0.0).open()
        held = []

        async def forget(_paths):
            gate = asyncio.get_running_loop().create_future()
            held.append(gate)
            await gate

        work.store.delete_each = forget
        work.store.seconds = 0.1
        tasks = []

        async def feed(first):
            for number in range(first, first + 12):
                tasks.append(asyncio.create_task(work.merge(answer(number))))
                await asyncio.sleep(0.05)

        # Four deletions may be under way; the fifth batch waits until one has ended.
        await feed(0)
        assert (work.store.count(HEAD), len(held)) == (4, 4)
        for gate in held:
            gate.set_result(None)
        await feed(12)
        assert (work.store.count(HEAD), len(held)) == (8, 8)
        while not all(task.done() for task in tasks):
            for gate in held:
                if not gate.done():
                    gate.set_result(None)
            await asyncio.sleep(0.1)
        assert len(await segments_of(work)) == 9
        assert await work.shown() == (24, 0)


class TestSplitting:
    @in_virtual_time
    async def test_a_shard_that_has_grown_is_split_in_four_and_answers_go_to_its_parts(self):
        work = await Work(page_bytes=700, merge_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(11)))
        head = (await work.store.get([HEAD]))[0].fields
        assert head["splitBits"] == 2
        children = [each.id for each in await work.store.scan("ledgers/exam/shards") if each.id != "0-0"]
        assert children == ["2-0", "2-1", "2-2", "2-3"]
        get, reads = work.store.get, []

        async def noted(paths, **keywords):
            reads.extend(paths)
            return await get(paths, **keywords)

        work.store.get = noted
        await work.merge(*(answer(n) for n in range(100, 108)))
        assert [path for path in reads if "/shards/" in path] == []  # it knows the parts that it made
        assert await work.shown() == (19, 0)
        assert work.store.count(HEAD + "/segments") == 1
        # A worker that has not heard of it walks down.
        other = work.another()
        await work.merge(*(answer(n) for n in range(200, 208)), merger=other)
        assert await work.shown() == (27, 0)
        assert await work.pending() == []

    @in_virtual_time
    async def test_parts_keep_step_and_share_their_round_trips(self):
        work = await Work(page_bytes=3500, gather_events=60, crowd_events=60).open()
        await work.merge(*(answer(n) for n in range(60)))
        assert (await work.store.get([HEAD]))[0].fields["splitBits"] == 2
        work.store.log.clear()

        async def later(number):
            await asyncio.sleep(number / 10)
            await work.merge(answer(1000 + number))

        await asyncio.gather(*(later(n) for n in range(40)))
        merges = [(at, writes) for at, path, writes in work.store.log if path.startswith(HEAD[:-3])]
        moments = [at for at, _ in merges]
        assert [round(b - a, 6) for a, b in itertools.pairwise(moments)] == [1.0] * (len(moments) - 1)
        assert len(moments) == 5
        # A segment and a head of every part in one commit, and one deletion of all that was merged.
        assert [writes for _, writes in merges] == [4, 8, 6, 8, 8]
        assert [path for _, path, _ in work.store.log].count("delete") == len(moments)
        assert await work.shown() == (100, 0)

    @in_virtual_time
    async def test_parts_rest_twice_as_long_where_they_are_shown_less_often(self):
        work = await Work(page_bytes=700, rollup_seconds=1.0).open()
        await work.merge(*(answer(n) for n in range(11)))
        state = next(work.merger._states.get(key) for key in work.merger._states if key[1].bits)
        for students, step in ((0, 1.0), (1999, 1.0), (2000, 2.0), (9000, 2.0)):
            work.merger.figures._progress["exam"].students = students
            state.written_at, before = float("-inf"), 10.0 * step
            due = work.merger._next_merge("exam", state, before)
            assert before <= due < before + step
            # Each assignment has moments of its own, lest all be merged at once.
            assert due % step == pytest.approx(step * position("exam") / 2**64)
            state.written_at = due
            assert work.merger._next_merge("exam", state, due) == pytest.approx(due + step)

    @in_virtual_time
    async def test_a_slow_commit_does_not_make_a_part_miss_its_step(self):
        work = await Work(page_bytes=700, merge_seconds=2.0, rollup_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(11)))
        state = next(work.merger._states.get(key) for key in work.merger._states if key[1].bits)
        moment = work.merger._next_merge("exam", state, 100.0)
        for late, following in ((0.0, 2.0), (0.49, 2.0), (0.51, 4.0)):
            state.written_at = moment + late
            assert work.merger._next_merge("exam", state, moment) == pytest.approx(moment + following)

    @in_virtual_time
    async def test_pages_of_parts_are_written_in_turn(self):
        work = await Work().open()
        grading = await work.grading("exam")
        written = {}
        for shard in WHOLE.split(2):
            state = ShardState(shard, Registers(grading), 0, segments.GENESIS, 0, None)
            students = (f"s-{n}" for n in itertools.count())
            mine = [student for student in itertools.islice(students, 9000) if shard.holds(position(student))]
            for number in range(70):
                some = [answer(n, student) for n, student in enumerate(mine[20 * number : 20 * number + 20])]
                folded = state.registers.fold(some)
                await Shards(work.store).append(state, folded.applied, now=NOW)
            assert state.registers.events == 1400
            written[shard.index] = state.page_seq
        # Behind a thousand answers, which take fifty merges, one in thirty-two is a page, each at its own.
        assert written == {index: 64 - index for index in range(4)}

    @in_virtual_time
    async def test_up_to_its_size_a_shard_stays_whole(self):
        work = await Work(page_bytes=10 * 38 + 10 * 32, merge_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(10)))
        assert "splitBits" not in (await work.store.get([HEAD]))[0].fields
        await work.merge(answer(10))
        assert (await work.store.get([HEAD]))[0].fields["splitBits"] == 2

    @in_virtual_time
    async def test_one_learners_shard_stays_whole(self):
        work = await Work(page_bytes=10, merge_seconds=0.0).open()
        await work.merge(*(answer(n, student="one") for n in range(5)))
        assert "splitBits" not in (await work.store.get([HEAD]))[0].fields

    @in_virtual_time
    async def test_a_crowd_in_front_of_it_splits_a_shard(self):
        work = await Work(merge_seconds=0.0).open()
        work.store.seconds = 0.5
        first = asyncio.create_task(work.merge(*(answer(n) for n in range(10))))
        await asyncio.sleep(0.2)
        crowd = [
            asyncio.create_task(work.merge(*(answer(1000 * k + n) for n in range(1000))))
            for k in range(1, 10)
        ]
        await asyncio.gather(first, *crowd)
        assert (await work.store.get([HEAD]))[0].fields["splitBits"] == 2
        assert await work.shown() == (9010, 0)
        assert work.store.count(HEAD + "/segments") == 1

    @in_virtual_time
    async def test_eight_thousand_are_no_crowd(self):
        work = await Work(merge_seconds=0.0).open()
        work.store.seconds = 0.5
        first = asyncio.create_task(work.merge(*(answer(n) for n in range(10))))
        await asyncio.sleep(0.2)
        some = [
            asyncio.create_task(work.merge(*(answer(1000 * k + n) for n in range(1000)))) for k in range(1, 9)
        ]
        await asyncio.sleep(1.0)
        assert "splitBits" not in (await work.store.get([HEAD]))[0].fields
        await asyncio.gather(first, *some)

    @pytest.mark.parametrize(
        "failure", [PreconditionLost("x"), Conflict("x"), Unavailable("x"), (Unavailable("x"),)]
    )
    @in_virtual_time
    async def test_a_split_that_fails_costs_nothing(self, failure):
        work = await Work(page_bytes=700, merge_seconds=0.0).open()
        work.store.commits.extend([None, failure])
        await work.merge(*(answer(n) for n in range(11)))
        assert await work.shown() == (11, 0)
        await work.merge(answer(50))
        assert await work.shown() == (12, 0)
        assert (await work.store.get([HEAD]))[0].fields["splitBits"] == 2

    @in_virtual_time
    async def test_a_caller_hears_of_a_failure_in_a_part(self):
        work = await Work(page_bytes=700, merge_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(11)))
        work.store.commits.extend([Unavailable("away")] * 40)
        with pytest.raises(Unavailable, match="away"):
            await work.merge(*(answer(n) for n in range(100, 108)), merger=work.another())

    @in_virtual_time
    async def test_a_caller_hears_of_a_failure_in_one_part_of_several(self):
        work = await Work(page_bytes=700, merge_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(11)))
        bad, *others = [answer(n) for n in range(100, 110)]
        shard = work.merger._leaf("exam", WHOLE, bad.student_id)
        good = next(each for each in others if work.merger._leaf("exam", WHOLE, each.student_id) != shard)
        commit = work.store.commit

        async def refusing(writes):
            if any(f"/{shard.name}" in write.path for write in writes):
                raise Unavailable("away")
            return await commit(writes)

        work.store.commit = refusing
        with pytest.raises(Unavailable, match="away"):
            await work.merge(bad, good, merger=work.another())
        assert [each.id for each in await work.pending()] == [bad.event_id]

    @in_virtual_time
    async def test_a_failure_after_its_caller_has_gone_is_no_complaint(self):
        for page_bytes in (400_000, 700):
            work = await Work(page_bytes=page_bytes, merge_seconds=0.0).open()
            await work.merge(*(answer(n) for n in range(11)))
            work.store.commits.extend([Unavailable("away")] * 40)
            task = asyncio.create_task(work.merge(answer(50), merger=work.another()))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(20)
            assert task.cancelled()

    @in_virtual_time
    async def test_a_sweep_that_is_handed_down_still_deletes_nothing(self):
        work = await Work(page_bytes=700, merge_seconds=0.0).open()
        await work.merge(*(answer(n) for n in range(11)))
        await work.merge(answer(60), answer(61), merger=work.another(), by="sweep", forget=False)
        assert len(await work.pending()) == 2
        assert await work.shown() == (13, 0)


class TestMemory:
    @in_virtual_time
    async def test_a_worker_that_merges_again_reads_nothing(self):
        work = await Work(merge_seconds=0.0).open()
        await work.merge(answer(1))
        reads = []
        get = work.store.get

        async def noted(paths, **keywords):
            reads.extend(paths)
            return await get(paths, **keywords)

        work.store.get = noted
        await work.merge(answer(2))
        assert reads == []

    @in_virtual_time
    async def test_it_remembers_the_shards_that_it_used_last_as_far_as_they_have_room(self):
        work = await Work(gather_seconds=0.0).open()
        made = [forms.make(f"exam-{n}", 1, GradingPolicy()) for n in range(5)]
        grading = {each.assignment.assignment_id: Grading.of(each.assignment, each.keys) for each in made}

        async def grading_of(assignment_id):
            return grading[assignment_id]

        merger = work.with_keys(grading_of)
        await merger.merge([answer(0, assignment="exam-0")], by="message")
        size = merger._states.get(("exam-0", WHOLE)).memory_bytes
        merger._states._most_bytes = 3 * size
        for number in (1, 2, 1, 3, 4):
            await merger.merge([answer(number + 10, assignment=f"exam-{number}")], by="message")
        assert [assignment_id for assignment_id, _ in merger._states] == ["exam-1", "exam-3", "exam-4"]

    @in_virtual_time
    async def test_the_figures_of_a_whole_assignment_need_no_read(self):
        work = await Work().open()
        assert work.merger._known_totals("exam") is None
        await work.merge(answer(1), answer(2))
        totals = work.merger._known_totals("exam")
        assert (totals.events, totals.sums.students, totals.shard_bits) == (2, 2, 0)
        state = work.merger._states.get(("exam", WHOLE))
        state.version = None
        assert work.merger._known_totals("exam") is None
