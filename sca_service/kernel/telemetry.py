"""What operators see: structured logs and metrics. Neither ever holds a code, a number, a name or an account.

Log events are past-tense names with fields of closed sets, ids and counts. Metric labels are closed sets.
"""

import logging
import sys
from functools import cache

import structlog
from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

CHALLENGES_ISSUED = Counter("sca_challenges_issued", "Challenges issued.", ["purpose", "status"])
CHALLENGES_ANSWERED = Counter("sca_challenges_answered", "Answers to challenges.", ["purpose", "outcome"])
DELIVERIES_SETTLED = Counter(
    "sca_deliveries_settled", "Deliveries by what became of them.", ["channel", "status"]
)
DELIVERIES_DUE = Gauge(
    "sca_deliveries_due", "Challenges that are due for a worker, and which none has taken up."
)
DELIVERIES_DUE_SECONDS = Gauge("sca_deliveries_due_seconds", "How long the first of them has been due.")
CHALLENGES_DECLINED = Counter("sca_challenges_declined", "Challenges that the payer said no to.", ["how"])
ROUTES_CHOSEN = Counter(
    "sca_routes_chosen", "Routes chosen, by the first reason.", ["channel", "supplier", "reason"]
)
ROUTES_MISSING = Counter("sca_routes_missing", "Messages that no supplier could carry.", ["channel"])
ROUTES_UNCOUNTED = Counter(
    "sca_routes_uncounted", "Outcomes that routing could not count, or read, because Redis was away."
)
BREAKER_STATE = Gauge("sca_breaker_state", "0 closed, 1 half open, 2 open.", ["supplier"])
REQUESTS_FAILED = Counter("sca_requests_failed", "Requests answered with a problem.", ["code"])
CHALLENGE_STREAMS = Gauge("sca_challenge_streams", "Clients that follow a challenge now.")
PINS_TURNED_AWAY = Counter("sca_pins_turned_away", "PINs turned away because too many waited.", ["why"])
COMMIT_SECONDS = Histogram("sca_audit_commit_seconds", "Time of one group commit.", buckets=_SECONDS)
COMMIT_RECORDS = Histogram(
    "sca_audit_commit_records",
    "Records in one group commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
EVENTS_RECOVERED = Counter("sca_audit_events_recovered", "Events committed for a process that was killed.")
EVENTS_SEQUENCED = Counter("sca_audit_events_sequenced", "Events given their index.")
SEQUENCER_LEADER = Gauge("sca_audit_sequencer_leader", "1 in the process that sequences the log.")
ROUND_SECONDS = Histogram("sca_log_round_seconds", "Time of one round of the log.", buckets=_SECONDS)
TREE_SIZE = Gauge("sca_log_tree_size", "Leaves of the log.")
CHECKPOINT_AGE = Gauge("sca_log_checkpoint_age_seconds", "Age of the newest published checkpoint.")
LOG_WAITING = Gauge("sca_log_waiting_seconds", "How long the oldest event has waited for its index.")
FOLLOWER_WAITING = Gauge(
    "sca_log_follower_waiting", "Events on the log that a follower has yet to read.", ["follower"]
)
WITNESS_ANSWERS = Counter(
    "sca_log_witness_answers", "What witnesses answered to checkpoints.", ["witness", "verdict"]
)
WEBHOOK_ATTEMPTS = Counter("sca_webhook_attempts", "Calls to webhook endpoints.", ["outcome"])
WEBHOOK_LAG = Gauge(
    "sca_webhook_lag_seconds", "How long the oldest message to an endpoint that answers has been due."
)

SPANS_DROPPED = Counter("sca_spans_dropped", "Spans of traces that did not reach the collector.", ["why"])


@cache
def count_of(counter: Counter, *labels: str) -> Counter:
    """The counter under these labels, which are of closed sets: to look it up anew takes as long as a MAC."""
    return counter.labels(*labels)


def configure_logging(level: str) -> None:
    """JSON lines on standard error, from `level` (a name of the logging module) up."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_by_type,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log what passes through them (uvicorn the URL, redis-py and asyncpg arguments): nothing below a warning.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Wordless())
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


class _Wordless(logging.Formatter):
    """A library's line: level, logger and the type of an exception, whose text may hold what a caller sent."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. `record.msg`, its arguments and tracebacks stay out of it."""
        error = record.exc_info[1] if record.exc_info else None
        return f"{record.levelname} {record.name}" + (f" {type(error).__name__}" if error else "")


def _exception_by_type(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """An exception is logged by its type and place; its text may hold what a caller sent."""
    error = event.pop("exc", None)
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # the one that ended the others
    if isinstance(error, BaseException):
        frame = error.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        event["error"] = type(error).__name__
        if frame:
            event["at"] = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}"
    return event


def log_failure(error: BaseException) -> None:
    """Log what should not have happened: the type of the exception and where it was raised, nothing of its text."""
    structlog.get_logger().error("request.failed", exc=error)
