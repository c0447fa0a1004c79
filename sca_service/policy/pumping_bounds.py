"""What pumping.toml may not exceed: no law speaks of it, so each bound has its reason."""

from sca_service.policy.bound import Bound

FILE = "pumping.toml"

PUMPING_BOUNDS = (
    Bound(
        FILE, "window_hours", 6, 24, "a slow attack fits into no shorter window; a day is kept by the hour"
    ),
    Bound(
        FILE,
        "history_days",
        1,
        14,
        "the best verified day of the last 14; each day more is kept for each subject",
    ),
    Bound(
        FILE,
        "answer_minutes",
        1,
        10,
        "NIST SP 800-63B-4 3.1.3: no code is valid for more than ten minutes; under one nobody has read it",
    ),
    Bound(
        FILE,
        "block_seconds",
        300,
        604_800,
        "shorter stops nobody; after a week an operator should have looked",
    ),
    Bound(FILE, "known_days", 1, 400, "a number is given to somebody else in time; GDPR Art. 5(1)(e)"),
    Bound(FILE, "most_allowed_days", 1, 365, "what is allowed for ever is never looked at again"),
    Bound(
        FILE,
        "conversion_percent",
        1,
        60,
        "published: networks under 35 % are blocked; few honest ones convert under 60 %",
    ),
    Bound(
        FILE, "most_countries", 1, 50, "one address may serve travellers and offices, hardly fifty countries"
    ),
    Bound(
        FILE,
        "never_sent_to entries",
        1,
        200,
        "some numbers are always too dear; each is compared with each number",
    ),
    Bound(FILE, "budget entries", 5, 5, "one for each scope"),
    Bound(FILE, "budget[].floor", 1, 100_000, "what is lost before anything is noticed"),
    Bound(
        FILE,
        "budget[].best_day_percent",
        0,
        100,
        "unanswered messages never outnumber what was approved on a good day",
    ),
    Bound(FILE, "budget[].day_percent", 0, 100, "the same for the last 24 hours"),
    Bound(FILE, "budget[].hour_percent", 0, 100, "the same for the last hour"),
    Bound(
        FILE,
        "budget[].waiting",
        0,
        100_000,
        "what an attack that is faster than payers answer is sent before anything is noticed",
    ),
    Bound(
        FILE,
        "budget[].least_sent",
        5,
        1_000_000,
        "published: with minimum traffic; a share of fewer than five says nothing",
    ),
)
