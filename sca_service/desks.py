"""The desks of alerts, webhooks and pumped ranges, put together for the HTTP application."""

from sca_service.alerts.consent.consents import Consents
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.desk import AlertDesk
from sca_service.alerts.links.follow import LinkFollower
from sca_service.alerts.links.postgres_store import LinkStore
from sca_service.alerts.orders import OrderBook
from sca_service.alerts.postgres_store import AlertStore
from sca_service.api import alert_consents as alert_consent_routes
from sca_service.api import alerts as alert_routes
from sca_service.api import cards as card_routes
from sca_service.api import webhooks as webhook_routes
from sca_service.api.idempotency import Idempotency
from sca_service.api.redis_store import IdempotencyStore
from sca_service.challenges.allow_list.postgres_store import AllowListStore
from sca_service.challenges.pumping_desk import PumpingDesk
from sca_service.core import Core
from sca_service.kernel.turns import Turns
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.webhooks.desk import WebhookDesk
from sca_service.webhooks.postgres_store import EndpointStore


def webhook_desk(core: Core) -> WebhookDesk:
    """Where clients' webhook endpoints are kept."""
    return WebhookDesk(
        store=EndpointStore(core.postgres),
        keyring=core.settings.keyring,
        policy=core.policy.webhooks,
        clock=core.clock,
        sandbox=core.settings.sandbox_folder is not None,
    )


def pumping_desk(core: Core) -> PumpingDesk:
    """Where its blocks are seen and lifted."""
    store = PumpingStore(core.redis, core.policy.pumping)
    return PumpingDesk(
        policy=core.policy,
        store=store,
        allow_list=AllowListStore(core.postgres),
        recorder=core.recorder,
        clock=core.clock,
    )


def alert_desk(core: Core, turns: Turns) -> AlertDesk:
    """What queues alerts and tells how they stand."""
    keyring = core.settings.keyring
    return AlertDesk(
        orders=OrderBook(core.policy, keyring, f"{core.settings.receipts_url}/l/"),
        keyring=keyring,
        store=AlertStore(core.postgres),
        links=LinkStore(core.postgres),
        turns=turns,
        clock=core.clock,
    )


def told_and_heard(core: Core, turns: Turns) -> dict[str, object]:
    """What the routes of alerts, cards, consent, links and webhooks ask for, by name."""
    keyring = core.settings.keyring
    return {
        "alerts": alert_routes.AlertOperations(
            desk=alert_desk(core, turns),
            idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
            policy=core.policy,
        ),
        "webhooks": webhook_routes.WebhookOperations(
            desk=webhook_desk(core),
            idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
            policy=core.policy,
        ),
        "cards": card_routes.CardOperations(
            desk=core.card_desk(),
            idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
            policy=core.policy,
        ),
        "alert_consents": alert_consent_routes.ConsentOperations(
            Consents(
                rules=core.policy.alerts.notices,
                keyring=keyring,
                store=ConsentStore(core.postgres),
                clock=core.clock,
            ),
            core.policy,
        ),
        "links": LinkFollower(keyring, LinkStore(core.postgres)),
    }
