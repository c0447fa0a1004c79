"""What somebody asks of the figures, and over which pieces of time it is answered. Pure.

Figures are kept for whole minutes, hours and days. A question is answered from the longest span that both its ends lie
on, and that is still kept; ends that lie on none are moved out to the next minute, and the answer says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sca_service.analytics.model import DIMENSIONS, Dimension, Figure, Key, Span, Subject
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.analytics import AnalyticsPolicy

MOST_MOMENTS = 2000
"""Pieces of time that one answer may tell apart."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which figures are wanted: grouped by what, from and to when (ms since the epoch), and of whom.

    `client` None is for all clients. `only` holds values of members of keys, as `filters_of` makes
    them of what was `asked`. `series` tells pieces of time apart, by the span.
    """

    subject: Subject
    since_ms: int
    until_ms: int
    span: Span
    client: str | None
    group_by: tuple[Dimension, ...] = ()
    only: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    series: bool = False


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """Which deliveries are wanted: those that a figure counts, None for all that were attempted; page by page.

    `after` is the place of the last one of the page before: when it began, its id and the number of its try.
    """

    since_ms: int
    until_ms: int
    client: str | None
    only: Mapping[str, str] = field(default_factory=dict)
    figure: Figure | None = None
    after: tuple[int, str, int] | None = None


def period_of(
    since_ms: int, until_ms: int, *, wanted: Span | None, counted_at: int, policy: AnalyticsPolicy
) -> tuple[int, int, Span]:
    """From when, to when and by which span a question is answered. Raises InvalidInput.

    `wanted` is the span of a series, None when the whole is asked for.
    """
    if until_ms <= since_ms:
        raise InvalidInput.at("/to", "must be later than `from`")
    if wanted:
        since, until = _outwards(since_ms, until_ms, wanted)
        if (until - since) // wanted.length_ms > MOST_MOMENTS:
            raise InvalidInput.at("/interval", f"must leave at most {MOST_MOMENTS} pieces of time")
        if since < wanted.kept_since(counted_at, policy):
            raise InvalidInput.at("/from", f"is older than what is kept by the {wanted}")
        return since, until, wanted
    for span in (Span.DAY, Span.HOUR, Span.MINUTE):
        if span is Span.MINUTE or (since_ms, until_ms) == _outwards(since_ms, until_ms, span):
            break
    for kept in (span, *(longer for longer in Span if longer.length_ms > span.length_ms)):
        since, until = _outwards(since_ms, until_ms, kept)
        if since >= kept.kept_since(counted_at, policy):
            return since, until, kept
    since, until = _outwards(max(since_ms, Span.DAY.kept_since(counted_at, policy)), until_ms, Span.DAY)
    return since, until, Span.DAY


def filters_of(subject: Subject, given: Mapping[str, str]) -> dict[str, str]:
    """The values of a key's members that a question is bound to, of those that were given. Raises InvalidInput."""
    only: dict[str, str] = {}
    for name, value in given.items():
        dimension = next((one for one in DIMENSIONS[subject] if one == name), None)
        if dimension is None:
            raise InvalidInput.at(f"/{name}", f"does not tell {subject} apart")
        only |= route_parts(value) if dimension is Dimension.ROUTE else {name: value}
    return only


def route_text(parts: Mapping[str, str]) -> str:
    """A route as one text: channel, supplier, network, sender and price between bars."""
    return "|".join(parts[name] for name in Dimension.ROUTE.columns)


def route_parts(text: str) -> dict[str, str]:
    """The parts of a route's text. Raises InvalidInput when it is none."""
    parts = text.split("|")
    if len(parts) != len(Dimension.ROUTE.columns):
        raise InvalidInput.at("/route", "must be channel|supplier|network|sender|price, as answers have it")
    return dict(zip(Dimension.ROUTE.columns, parts, strict=True))


def fits(key: Key, question: Question | ListQuestion) -> bool:
    """Whether what is counted under a key is asked for."""
    members = key._asdict()
    if question.client is not None and key.client != question.client:
        return False
    return all(members[name] == value for name, value in question.only.items())


def _outwards(since_ms: int, until_ms: int, span: Span) -> tuple[int, int]:
    """The ends moved to where pieces of time begin: out, never in."""
    return span.begin(since_ms), -(-until_ms // span.length_ms) * span.length_ms
