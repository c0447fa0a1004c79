"""What tests of alerts share: what is on record of one, and one that is put straight into the store."""

import secrets
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from sca_service.alerts.content import Content, sealed
from sca_service.alerts.links.model import new_link
from sca_service.alerts.model import AlertKind, NewAlert
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Channel
from sca_service.policy.notice_rules import LinkRule
from tests.storeroom import new_payer


class NothingIsPumped:
    """A guard that keeps nothing back: what it does is tested elsewhere."""

    async def keeps_back(self, number: PhoneNumber, *, client: str) -> bool:
        """Never."""
        return False


async def alert_events(pool: asyncpg.Pool, alert: str) -> list[dict[str, Any]]:
    """The events on record about an alert, in their order."""
    rows = await pool.fetch(
        "SELECT body FROM audit_events WHERE body::jsonb ->> 'alert' = $1 ORDER BY txid, position", alert
    )
    return [msgspec.json.decode(row["body"]) for row in rows]


def new_alert(
    keyring: Keyring,
    *,
    psu: str | None = None,
    dedupe: str | None = None,
    client: str = "bank",
    kind: AlertKind = AlertKind.NOTICE,
    channels: Sequence[Channel] = (Channel.SMS,),
    number: str = "+4915112345678",
    lifetime_ms: int = 60_000,
    topic: str = "",
    time_zone: str = "",
    send_at: int | None = None,
    url: str = "",
) -> NewAlert:
    """A notice that is ready to be queued, to a payer nobody else has."""
    alert = new_id("alt")
    content = Content(
        "a_notice", "de-DE", number=number, masked="+49…5678", texts=dict.fromkeys(channels, "A text.")
    )
    return NewAlert(
        id=alert,
        client=client,
        psu=psu or new_payer(),
        kind=kind,
        dedupe=dedupe or secrets.token_hex(16),
        channels=tuple(channels),
        lifetime_ms=lifetime_ms,
        sealed=sealed(keyring, content, alert),
        seal_bare=lambda: sealed(keyring, content.bare, alert),
        topic=topic,
        time_zone=time_zone,
        send_at=send_at,
        link=new_link(keyring, LinkRule(("bank.example",), 30), alert, url) if url else None,
    )
