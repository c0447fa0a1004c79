"""What alerts.toml may not exceed where it speaks of every notice."""

from sca_service.policy.bound import Bound

FILE = "alerts.toml"

NOTICE_BOUNDS = (
    Bound(
        FILE,
        "notices.keep_days",
        30,
        3_650,
        "a dedupe key holds for so long; GDPR Art. 5(1)(e): not for ever",
    ),
    Bound(FILE, "notices.most_per_second", 1, 100_000, "of one worker; codes go first all the same"),
    Bound(FILE, "notices.most_days_ahead", 1, 366, "what lies further ahead is better ordered later"),
    Bound(FILE, "notices.links.hosts entries", 0, 50, "each is compared with each link"),
    Bound(FILE, "notices.links.keep_days", 0, 365, "whoever has the number later should not follow it"),
    Bound(FILE, "notices.topic entries", 0, 20, "a payer has to tell them apart"),
    Bound(FILE, "notices.topic[].notices entries", 0, 100, "as many as one may want"),
    Bound(FILE, "notices.topic[].stop_words entries", 0, 20, "each language needs a few"),
    Bound(FILE, "notices.topic[].start_words entries", 0, 20, "as many as words that stop"),
)
