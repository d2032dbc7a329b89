"""What is counted, for ``/metrics`` in Prometheus' text format."""

from shared.counting import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

requests = Counter(
    "lectern_requests",
    "Requests answered, by function and status.",
    ["function", "status"],
    registry=REGISTRY,
)
request_seconds = Histogram(
    "lectern_request_seconds",
    "Time to answer a request, by function.",
    ["function"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
answers_accepted = Counter(
    "lectern_answers_accepted",
    "Answers put on record, by source and outcome.",
    ["source", "outcome"],
    registry=REGISTRY,
)
answers_merged = Counter(
    "lectern_answers_merged",
    "Answers merged for the first time, by what brought them: a message, a trigger or the sweep.",
    ["by"],
    registry=REGISTRY,
)
answers_repeated = Counter(
    "lectern_answers_repeated", "Answers that came to a merge again and changed nothing.", registry=REGISTRY
)
answers_refused = Counter(
    "lectern_answers_refused", "Answers that cannot be graded, kept in rejectedAnswers.", registry=REGISTRY
)
merge_commits = Counter(
    "lectern_merge_commits", "Commits of a merge, by outcome: done or lost.", ["outcome"], registry=REGISTRY
)
dead_letters = Counter(
    "lectern_dead_letters",
    "Messages set aside because nobody can handle them.",
    ["function"],
    registry=REGISTRY,
)
doorbells_lost = Counter(
    "lectern_doorbells_lost",
    "Messages that could not be published; the sweep makes them good.",
    registry=REGISTRY,
)
pending_answers = Gauge(
    "lectern_pending_answers", "Pending events in the collection, when last counted.", registry=REGISTRY
)
discrepancies = Counter(
    "lectern_discrepancies", "Recounts that differ from what is projected; must stay 0.", registry=REGISTRY
)
billed_operations = Counter(
    "lectern_billed_operations",
    "Firestore's billed operations, and the round trips (rpcs), by function.",
    ["function", "kind"],
    registry=REGISTRY,
)
account_lookups = Counter(
    "lectern_account_lookups",
    "Requests that asked Auth whether accounts still stand, by outcome: done or failed.",
    ["outcome"],
    registry=REGISTRY,
)
accounts_refused = Counter(
    "lectern_accounts_refused",
    "Valid tokens of revoked sessions and closed accounts.",
    registry=REGISTRY,
)
firestore_operations = Gauge(
    "lectern_firestore_operations",
    "Billed Firestore operations of this process.",
    ["kind"],
    registry=REGISTRY,
)
rate_limited = Counter(
    "lectern_rate_limited",
    "Calls that a rate limit refused, by the function's class and by whose limit it was: user or ip.",
    ["rate_class", "by"],
    registry=REGISTRY,
)
limiter_store_trips = Counter(
    "lectern_limiter_store_trips",
    "Round trips of rate limits to their store, by outcome.",
    ["outcome"],
    registry=REGISTRY,
)
limiter_checks = Counter("lectern_limiter_checks", "Decisions about shared rate limits.", registry=REGISTRY)
budget_thresholds = Counter(
    "lectern_budget_thresholds",
    "Ceilings of money of which spending passed 50, 80 or 100 per cent.",
    ["scope", "percent"],
    registry=REGISTRY,
)
budget_refusals = Counter(
    "lectern_budget_refusals",
    "Reservations that a ceiling refused, by whose it was.",
    ["scope"],
    registry=REGISTRY,
)
spent_nanos = Counter(
    "lectern_spent_nanos", "Nano-dollars spent, by task and model.", ["task", "model"], registry=REGISTRY
)
gateway_calls = Counter(
    "lectern_gateway_calls",
    "Calls to the provider of models, by outcome: ok, a status, connection or improper.",
    ["outcome"],
    registry=REGISTRY,
)
gateway_retries = Counter(
    "lectern_gateway_retries", "Calls to the provider made again, by why.", ["reason"], registry=REGISTRY
)
gateway_breaker_open = Gauge(
    "lectern_gateway_breaker_open", "1 while the provider is left alone because it failed.", registry=REGISTRY
)
gateway_first_token_seconds = Histogram(
    "lectern_gateway_first_token_seconds",
    "Time to the first piece of a streamed reply, by task.",
    ["task"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10),
    registry=REGISTRY,
)
gateway_degraded = Counter(
    "lectern_gateway_degraded",
    "Requests served otherwise than asked, by task and how: small, cached-only or deterministic.",
    ["task", "degree"],
    registry=REGISTRY,
)
cache_requests = Counter(
    "lectern_cache_requests",
    "Questions to the caches, by entry and outcome: hit, miss or coalesced.",
    ["entry", "outcome"],
    registry=REGISTRY,
)
cache_evicted = Counter(
    "lectern_cache_evicted", "Values that left the memory's cache because it was full.", registry=REGISTRY
)
cache_bytes = Gauge("lectern_cache_bytes", "Bytes of values in the memory's cache.", registry=REGISTRY)
cache_saved_nanos = Counter(
    "lectern_cache_saved_nanos",
    "Nano-dollars that cached and shared replies did not cost.",
    registry=REGISTRY,
)
