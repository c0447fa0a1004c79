"""What a payer consents to, topic by topic, as the client knows it: it asked them, we did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sca_service.alerts.consent.postgres_store import ConsentStore, Said
from sca_service.alerts.rows import Origin, moment_of_ms
from sca_service.audit.model import AuditEvent
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.notice_rules import ConsentRule, NoticeRules


@dataclass(frozen=True, slots=True)
class TopicConsent:
    """Whether a payer is sent notices of a topic; `said_at` is None where nobody said anything."""

    topic: str
    granted: bool
    said_at: datetime | None


class Consents:
    """Knows them. A class because it holds the store."""

    def __init__(self, *, rules: NoticeRules, keyring: Keyring, store: ConsentStore, clock: Clock) -> None:
        self._rules = rules
        self._keyring = keyring
        self._store = store
        self._clock = clock

    async def of(self, client: str, psu_id: str) -> tuple[TopicConsent, ...]:
        """For each topic of the policy. Raises StoreUnavailable."""
        said = await self._store.said(client, self._keyring.pseudonym("payer", client, psu_id))
        return self._topics(said)

    async def put(
        self, client: str, psu_id: str, granted: Mapping[str, bool], origin: Origin
    ) -> tuple[TopicConsent, ...]:
        """Put down what a payer told the client; topics that are not named stay as they are.

        Raises InvalidInput for a topic that the policy does not have, StoreUnavailable.
        """
        known = {topic.name for topic in self._rules.topics}
        for topic in granted:
            if topic not in known:
                allowed = ", ".join(sorted(known)) or "none"
                raise InvalidInput.at("/topics", f"must name topics of the policy: {allowed}")
        psu = self._keyring.pseudonym("payer", client, psu_id)
        now_ms = self._clock.now_ms()
        if granted:
            members = {"client": client, "psu": psu, **origin, "topics": dict(granted)}
            event = AuditEvent.create(
                event_id=new_id("evt"), kind="alert_consent.changed", at_ms=now_ms, members=members
            )
            await self._store.say(client, psu, granted, event, moment_of_ms(now_ms))
        return self._topics(await self._store.said(client, psu))

    def _topics(self, said: Mapping[str, Said]) -> tuple[TopicConsent, ...]:
        return tuple(
            TopicConsent(topic.name, said[topic.name].granted, said[topic.name].at)
            if topic.name in said
            else TopicConsent(topic.name, topic.consent is ConsentRule.OPT_OUT, None)
            for topic in self._rules.topics
        )
