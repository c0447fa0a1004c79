"""What the page on traffic does: reads figures of now and of a week ago, and hands out the page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sca_service.analytics.model import Dimension, Figure, Span, Subject
from sca_service.analytics.reading.answer import Analytics, Answer, Line
from sca_service.analytics.reading.asking import ListQuestion, filters_of
from sca_service.api.analytics import Counted, cursor_of, ms_of, place_of
from sca_service.api.clients import Scope
from sca_service.challenges.pumping_desk import PumpingDesk
from sca_service.console.desk import Visit
from sca_service.console.traffic.page import MessageList, messages_page, traffic_page
from sca_service.console.traffic.view import WEEK_MS, Pair, Traffic, Window, pairs, pieces_of
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput
from sca_service.limits.pumping.model import Entry
from sca_service.limits.pumping.redis_store import EntryKind

_ROWS = 50
_MOST_BLOCKS = 100
_OWN = ("from", "to", "counted", "cursor")


class TrafficDesk:
    """The pages on traffic with what they read from. A class because it holds that."""

    def __init__(self, *, analytics: Analytics, blocks: PumpingDesk, clock: Clock) -> None:
        self._analytics = analytics
        self._blocks = blocks
        self._clock = clock

    async def overview(self, visit: Visit, window: Window) -> str:
        """How messages do now, against a week ago. Raises StoreUnavailable."""
        now_ms = self._clock.now_ms()
        until_ms = -(-now_ms // Span.HOUR.length_ms) * Span.HOUR.length_ms
        since_ms = until_ms - window.length_ms
        client = _seen_by(visit)

        async def both(*group_by: Dimension, of: Subject = Subject.DELIVERIES) -> tuple[Pair, ...]:
            now = await self._ask(of, since_ms, until_ms, client, group_by)
            before = await self._ask(of, since_ms - WEEK_MS, until_ms - WEEK_MS, client, group_by)
            return pairs(now.lines, before.lines)

        routes = await both(Dimension.ROUTE)
        pieces = await self._ask(Subject.DELIVERIES, since_ms, until_ms, client, (), window.pieces)
        before: Sequence[Line] = ()
        if window.pieces is not Span.MINUTE:  # minutes of a week ago are not kept
            span = (since_ms - WEEK_MS, until_ms - WEEK_MS)
            before = (await self._ask(Subject.DELIVERIES, *span, client, (), window.pieces)).lines
        traffic = Traffic(
            window=window,
            since_ms=since_ms,
            until_ms=until_ms,
            counted_at_ms=pieces.counted_at_ms,
            whole=_only(await both()),
            challenges=_only(await both(of=Subject.CHALLENGES)),
            pieces=pieces_of(since_ms, until_ms, window.pieces, pieces.lines, before),
            routes=tuple(pair for pair in routes if pair.count(Figure.ATTEMPTED)),
            places=await both(Dimension.COUNTRY, Dimension.CHANNEL),
            suppliers=await both(Dimension.SUPPLIER),
            blocks=await self._blocked(visit),
        )
        return traffic_page(traffic, visit.reader, datetime.fromtimestamp(now_ms / 1000, UTC))

    async def messages(self, visit: Visit, parameters: Sequence[tuple[str, str]]) -> str:
        """The messages behind a figure. Raises InvalidInput, StoreUnavailable."""
        given = dict(parameters)
        if len(given) < len(parameters):
            raise InvalidInput.at("", "names a filter twice")
        counted = given.get("counted", Counted.ATTEMPTED)
        if counted not in list(Counted):
            raise InvalidInput.at("/counted", f"must be one of {', '.join(Counted)}")
        question = ListQuestion(
            since_ms=_ms(given, "from"),
            until_ms=_ms(given, "to"),
            client=_seen_by(visit),
            only=filters_of(
                Subject.DELIVERIES, {name: value for name, value in given.items() if name not in _OWN}
            ),
            figure=Figure(counted),
            after=place_of(given["cursor"]) if "cursor" in given else None,
        )
        found = await self._analytics.deliveries(question, most=_ROWS + 1)
        following = cursor_of(found[_ROWS - 1]) if len(found) > _ROWS else None
        filters = {name: value for name, value in given.items() if name != "cursor"}
        return messages_page(MessageList(filters, found[:_ROWS], following), visit.reader)

    async def _ask(
        self,
        subject: Subject,
        since_ms: int,
        until_ms: int,
        client: str | None,
        group_by: tuple[Dimension, ...],
        interval: Span | None = None,
    ) -> Answer:
        return await self._analytics.answer(
            subject,
            since_ms=since_ms,
            until_ms=until_ms,
            client=client,
            group_by=group_by,
            interval=interval,
        )

    async def _blocked(self, visit: Visit) -> Sequence[Entry] | None:
        if Scope.ADMIN not in visit.session.client.scopes:
            return None
        return await self._blocks.entries(EntryKind.BLOCK, most=_MOST_BLOCKS, skip=0)


def _only(found: Sequence[Pair]) -> Pair:
    return found[0] if found else Pair({}, None, None)


def _seen_by(visit: Visit) -> str | None:
    client = visit.session.client
    return None if Scope.ADMIN in client.scopes else client.id


def _ms(given: Mapping[str, str], name: str) -> int:
    if name not in given:
        raise InvalidInput.at(f"/{name}", "is required")
    return ms_of(given[name], f"/{name}")
