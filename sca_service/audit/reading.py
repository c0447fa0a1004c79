"""Reading the log is on record too: who looked at what, before they see it."""

from collections.abc import Mapping

from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.writer import AuditWriter
from sca_service.kernel.clock import Clock
from sca_service.kernel.ids import new_id


class ReadingRecord:
    """Puts down what was read. A class because it holds the writer."""

    def __init__(self, writer: AuditWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    async def put_down(self, kind: str, *, client: str, request: str, members: Mapping[str, object]) -> None:
        """Commit an event such as `audit.read`. A payer stands in `members` as a pseudonym, if at all.

        It is no part of the story of what was read, so it names no challenge but as its `subject`. Raises
        StoreUnavailable; then nothing may be shown.
        """
        event = AuditEvent.create(
            event_id=new_id("evt"),
            kind=kind,
            at_ms=self._clock.now_ms(),
            members={"client": client, "actor": f"client:{client}", "request": request, **members},
        )
        await self._writer.commit(Record((event,)))
