"""The notice to a phone line that another one replaced (RTS Art. 24: who did not do it has to hear of it).

It is queued in the transaction that revokes the line: the row is emptied there, and its number with it.
"""

from collections.abc import Mapping
from typing import Final

from sca_service.alerts.content import addressed, channels_to, rendered, sealed
from sca_service.alerts.model import AlertKind, NewAlert
from sca_service.alerts.postgres_store import queue
from sca_service.audit.postgres_store import Connection
from sca_service.authenticators.postgres_store import AuthenticatorRow
from sca_service.authenticators.sealed import line_of
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.model import Policy
from sca_service.policy.notices import LINE_REPLACED

LIFETIME_MS: Final = 72 * 3_600_000
"""A supplier may be away for a weekend; later than that a payer has noticed."""


class ReplacedLines:
    """Queues the notices. A class because it holds the texts and the keys."""

    def __init__(self, policy: Policy, keyring: Keyring) -> None:
        self._policy = policy
        self._keyring = keyring

    async def replaced(
        self,
        connection: Connection,
        before: AuthenticatorRow,
        after: AuthenticatorRow,
        origin: Mapping[str, object],
    ) -> None:
        """Queue the notice to the line `before`, as it was, that `after` replaces; one for each line.

        None where both are the same number: nothing changed for whoever reads there. Raises SealBroken.
        """
        line = line_of(self._keyring, before)
        if line.number == line_of(self._keyring, after).number:
            return
        try:
            number = PhoneNumber.parse(line.number)
        except InvalidInput:  # its numbering plan has it no more, so nobody is reached there
            return
        channels = channels_to(number)
        alert_id = new_id("alt")
        content = addressed(
            rendered(self._policy, LINE_REPLACED, locale=line.locale, channels=channels, values={}), number
        )
        new = NewAlert(
            id=alert_id,
            client=before.client,
            psu=before.psu,
            kind=AlertKind.SECURITY,
            dedupe=self._keyring.pseudonym("alert", AlertKind.SECURITY, before.client, before.id),
            channels=channels,
            lifetime_ms=LIFETIME_MS,
            sealed=sealed(self._keyring, content, alert_id),
        )
        await queue(connection, new, origin)
