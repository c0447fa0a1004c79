"""Writes the alerts about cards, as they are queued."""

from datetime import datetime, timedelta

from sca_service.alerts.cards.content import holder_of, merchant_of, written
from sca_service.alerts.cards.model import Warn
from sca_service.alerts.cards.rows import HeldCard
from sca_service.alerts.content import opened, sealed
from sca_service.alerts.model import Alert, NewAlert
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Policy


class CardWriter:
    """Writes the alerts about cards. A class because it holds the texts and the keys."""

    def __init__(self, policy: Policy, keyring: Keyring) -> None:
        self._policy = policy
        self._keyring = keyring

    def alert(self, held: HeldCard, warn: Warn, now: datetime) -> NewAlert | None:
        """The alert for a warning; None where its number is in no numbering plan any more. Raises SealBroken."""
        holder = holder_of(self._keyring, held.sealed, held.key)
        merchant = (
            merchant_of(self._keyring, held.merchants[warn.charge.id], warn.charge.id) if warn.charge else ""
        )
        told = written(self._policy, warn, held.card, holder=holder, merchant=merchant)
        if told is None:
            return None
        content, channels = told
        alert_id = new_id("alt")
        return NewAlert(
            id=alert_id,
            client=held.client,
            psu=held.psu,
            kind=warn.kind,
            dedupe=self._keyring.pseudonym("alert", warn.kind, held.client, f"card {held.id} {warn.key}"),
            channels=channels,
            lifetime_ms=max((warn.expires_at - now) // timedelta(milliseconds=1), 1),
            sealed=sealed(self._keyring, content, alert_id),
            topic=self._policy.alerts.notices.topic_of(content.template),
        )

    def bare(self, alert: Alert) -> str:
        """What stays sealed of an alert that is over. Raises SealBroken."""
        return sealed(self._keyring, opened(self._keyring, alert.sealed, alert.id).bare, alert.id)
