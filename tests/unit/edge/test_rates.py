"""Rate limits at the border: whose address it is, who is refused, and what they are told."""

import logging
import random

import pytest
from starlette.requests import Request

from shared.edge import rates
from shared.edge.logs import configure
from shared.edge.registry import RateClass, deployments
from shared.errors import Unavailable
from shared.limits.base import Verdict, tighter
from shared.limits.memory import MemoryLimiter
from shared.metrics import REGISTRY
from tests.deployed import in_memory, replace, settings_for_tests

JSON = {"content-type": "application/json"}
MINE = ("198.51.100.7", 4711)


def request(*forwarded, client=MINE, **others):
    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in others.items()]
    return Request({"type": "http", "headers": headers, "client": client})


class TestWhoseAddressItIs:
    @pytest.mark.parametrize(
        ("hops", "forwarded", "bucket"),
        [
            (0, [], "ip:198.51.100.7"),
            (0, ["203.0.113.9"], "ip:198.51.100.7"),
            (1, ["203.0.113.9"], "ip:203.0.113.9"),
            (1, ["1.1.1.1, 203.0.113.9"], "ip:203.0.113.9"),
            (2, ["1.1.1.1, 203.0.113.9, 192.0.2.1"], "ip:203.0.113.9"),
            (2, ["1.1.1.1", "203.0.113.9, 192.0.2.1"], "ip:203.0.113.9"),
            (2, ["203.0.113.9", "192.0.2.1"], "ip:203.0.113.9"),
            (1, ["203.0.113.9", "192.0.2.1"], "ip:192.0.2.1"),
            (2, ["203.0.113.9"], rates.UNKNOWN),
            (1, [], rates.UNKNOWN),
            (1, ["nonsense"], rates.UNKNOWN),
            (1, ["203.0.113.9,"], rates.UNKNOWN),
            (1, ["203.0.113.9:8443"], "ip:203.0.113.9"),
            (1, ["[2001:db8:1:2::9]:443"], "ip:2001:db8:1:2::/64"),
            (1, ["2001:db8:1:2:3:4:5:6"], "ip:2001:db8:1:2::/64"),
            (1, ["2001:DB8:1:2::1%eth0"], "ip:2001:db8:1:2::/64"),
            (1, ["::ffff:203.0.113.9"], "ip:203.0.113.9"),
        ],
    )
    def test_the_last_proxies_are_ours_and_nobody_else_is_believed(self, hops, forwarded, bucket):
        assert rates.address(request(*forwarded), hops) == bucket

    def test_a_thousand_invented_prefixes_are_one_bucket(self):
        rng = random.Random(5)
        invented = [
            ", ".join(".".join(str(rng.randrange(256)) for _ in range(4)) for _ in range(rng.randrange(1, 5)))
            for _ in range(1000)
        ]
        assert {rates.address(request(f"{each}, 203.0.113.9"), 1) for each in invented} == {"ip:203.0.113.9"}
        assert {rates.address(request(each, "203.0.113.9, 10.0.0.1"), 2) for each in invented} == {
            "ip:203.0.113.9"
        }

    def test_other_headers_are_not_read(self):
        found = request("203.0.113.9", forwarded="for=1.2.3.4", x_real_ip="1.2.3.4", true_client_ip="1.2.3.4")
        assert rates.address(found, 1) == "ip:203.0.113.9"
        assert rates.address(request(client=None), 0) == rates.UNKNOWN

    def test_cloud_run_by_itself_is_one_hop_unless_settings_say_otherwise(self, monkeypatch):
        assert settings_for_tests().hops == 0
        assert settings_for_tests(cloud_run_service="f").hops == 1
        assert settings_for_tests(cloud_run_service="f", trusted_hops=2).hops == 2


class TestRefusals:
    async def test_who_asks_too_often_is_told_when_to_come_back(self):
        async with in_memory(rate_call_points=3) as app:
            replies = [await app.call("verify_receipt", {"receipt": "x"}, uid="ann") for _ in range(5)]
            assert [each.status_code for each in replies] == [400, 400, 400, 429, 429]
            assert [each.headers["x-ratelimit-remaining"] for each in replies] == ["2", "1", "0", "0", "0"]
            assert {each.headers["x-ratelimit-limit"] for each in replies} == {"3"}
            refused = replies[-1]
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert int(refused.headers["x-ratelimit-reset"]) == 60
            assert refused.json()["type"] == "urn:lectern:problem:resource-exhausted"
            other = await app.call("verify_receipt", {"receipt": "x"}, uid="bob")
            assert other.status_code == 400

    async def test_a_refusal_comes_in_the_callables_envelope_and_browsers_may_read_the_headers(self):
        async with in_memory(rate_call_points=1) as app:
            headers = {**JSON, "authorization": "Bearer ann", "origin": "https://school.example"}
            for _ in range(2):
                reply = await app.post("verify_receipt", b'{"data": {"receipt": "x"}}', headers)
            assert (reply.status_code, reply.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
            exposed = reply.headers["access-control-expose-headers"]
            assert {"Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(
                exposed.split(", ")
            )

    async def test_an_address_is_limited_before_anybody_has_signed_in(self):
        async with in_memory(rate_ip_points=2, trusted_hops=1) as app:

            async def knock(forwarded):
                return (
                    await app.post("verify_receipt", b"{}", {**JSON, "x-forwarded-for": forwarded})
                ).status_code

            assert [await knock(f"{n}.1.1.1, 203.0.113.9") for n in range(4)] == [401, 401, 429, 429]
            assert await knock("203.0.113.10") == 401

    async def test_a_school_behind_one_address_may_submit_as_it_likes(self):
        async with in_memory(rate_ip_points=1, rate_call_points=5) as app:
            codes = [
                (await app.call("submit_answer", {}, uid=f"student-{number}")).status_code
                for number in range(100)
            ]
            assert codes == [400] * 100

    async def test_limits_can_be_switched_off(self):
        async with in_memory(rate_call_points=1, rate_limiting=False) as app:
            replies = [await app.call("verify_receipt", {"receipt": "x"}, uid="ann") for _ in range(3)]
            assert [each.status_code for each in replies] == [400] * 3
            assert "x-ratelimit-limit" not in replies[0].headers

    async def test_metrics_count_refusals_and_a_log_line_tells_who_was_refused_most(
        self, caplog, monkeypatch
    ):
        configure()
        monkeypatch.setattr(logging.getLogger("lectern"), "propagate", True)
        monkeypatch.setattr(rates, "_most", rates._Most())

        def refused():
            labels = {"rate_class": "call", "by": "user"}
            return REGISTRY.get_sample_value("lectern_rate_limited_total", labels) or 0

        before = refused()
        async with in_memory(rate_call_points=1) as app:
            for uid in ("ann",) * 5 + ("bob",) * 3:
                await app.call("verify_receipt", {"receipt": "x"}, uid=uid)
            assert refused() - before == 6
            monkeypatch.setattr(rates._most, "told_at", 0.0)
            with caplog.at_level("WARNING", logger="lectern"):
                await app.call("verify_receipt", {"receipt": "x"}, uid="ann")
        line = next(each for each in caplog.records if each.message == "limits_met_most")
        counts = [int(each.split()[1]) for each in line.most_limited]
        assert counts == [5, 2]
        assert not any("ann" in each for each in line.most_limited)


class TestTheTightestLimit:
    """What the headers tell, of an address' and a user's."""

    async def told(self, app, uid="ann"):
        headers = (await app.call("verify_receipt", {"receipt": "x"}, uid=uid)).headers
        return [int(headers[f"x-ratelimit-{each}"]) for each in ("limit", "remaining")]

    async def test_it_may_be_the_address(self):
        async with in_memory(rate_ip_points=5, rate_call_points=10) as app:
            assert await self.told(app) == [5, 4]
            assert await self.told(app, "bob") == [5, 3]

    async def test_it_may_be_the_user(self):
        async with in_memory(rate_ip_points=100, rate_call_points=10) as app:
            assert await self.told(app) == [10, 9]
            assert await self.told(app, "bob") == [10, 9]

    async def test_it_is_the_users_once_they_are_refused_though_the_address_has_nothing_left(self):
        async with in_memory(rate_ip_points=2, rate_call_points=1) as app:
            assert await self.told(app) == [1, 0]
            assert await self.told(app) == [1, 0]

    def test_of_two_it_is_the_one_that_refuses_else_the_one_with_less_left(self):
        much = Verdict(
            allowed=True, name="a", limit=100, remaining=50, reset_seconds=1, retry_after_seconds=0
        )
        little = much._replace(limit=10, remaining=4)
        refused = much._replace(allowed=False, remaining=90, retry_after_seconds=1)
        for one, other, expected in ((much, little, little), (little, refused, refused)):
            assert tighter(one, other) is tighter(other, one) is expected


class TestClassesThatAllInstancesCountTogether:
    async def ask(self, app, uid, bucket="ip:203.0.113.9", rate=RateClass.AI):
        verdict = await rates.of_user(rate, uid, bucket, app.services)
        return verdict.allowed, verdict.name

    async def test_points_follow_class_and_tier(self):
        small, medium = settings_for_tests(), settings_for_tests(tier="medium")
        assert [rates.points(each, small) for each in RateClass] == [6000, 6000, 10, 10, 5]
        assert rates.points(RateClass.AI, medium) == 20
        assert rates.points(RateClass.AI, settings_for_tests(tier="medium", rate_ai_points=7)) == 7

    async def test_a_user_and_an_address_are_decided_in_one_step(self):
        async with in_memory(rate_shared_ip_points=15, limiter="memory") as app:
            mine = [await self.ask(app, "ann") for _ in range(11)]
            assert mine == [(True, "ai")] * 10 + [(False, "ai")]
            bobs = [await self.ask(app, "bob") for _ in range(6)]
            assert [allowed for allowed, _ in bobs] == [True] * 5 + [False]
            assert bobs[-1] == (False, "ai-ip")
            # What the address refused, bob has not lost.
            assert await self.ask(app, "bob", "ip:other") == (True, "ai")

    async def test_nothing_is_allowed_when_nobody_can_count(self):
        class Down(MemoryLimiter):
            async def take(self, limits):
                raise Unavailable("no store")

        async with in_memory() as app:
            replace(app.services, limiter=Down(lambda: 0.0))
            with pytest.raises(Unavailable):
                await self.ask(app, "ann")

    async def test_tutoring_and_lessons_are_counted_apart(self):
        import main

        main.load_all()
        classes = {name: each.rate for name, each in deployments().items()}
        lessons = {name for name, rate in classes.items() if rate is RateClass.LESSON}
        assert lessons == {"generate_skeleton", "generate_step"}
        asking = {name for name, rate in classes.items() if rate is RateClass.AI}
        assert asking == {"chat", "evaluate_answer", "openai_proxy", "run_pilot"}
        waiting = {"get_evaluation_queue", "queue_evaluations", "run_evaluation_queue"}
        asked = {name for name, each in deployments().items() if each.asks_models}
        assert asked == lessons | asking | waiting
        assert RateClass.UPLOAD not in classes.values()  # docs/ai.md says so

    async def test_the_eleventh_lesson_job_of_a_minute_is_refused_and_a_hint_is_not(self):
        async with in_memory(limiter="memory") as app:
            outline = {"courseId": "none", "topic": "Fractions"}
            replies = [await app.call("generate_skeleton", outline, uid="ann") for _ in range(11)]
            assert [each.status_code for each in replies] == [404] * 10 + [429]
            hint = {"assignmentId": "none", "questionId": "none"}
            assert (await app.call("chat", hint, uid="ann")).status_code == 404

    async def test_the_submit_path_asks_no_store(self):
        import main

        main.load_all()
        classes = {name: each.rate for name, each in deployments().items()}
        assert classes["submit_answer"] is classes["submit_answers"] is RateClass.SUBMIT
        assert not RateClass.SUBMIT.shared
        assert not RateClass.CALL.shared
