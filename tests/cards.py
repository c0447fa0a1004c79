"""What tests of cards share: a desk over the real stores, whose clock they set, and orders."""

from datetime import UTC, date, datetime

import asyncpg

from sca_service.alerts.cards.desk import CardDesk
from sca_service.alerts.cards.model import Balance, ChargeSource
from sca_service.alerts.cards.orders import BalanceOrder, PastOrder, UpcomingOrder
from sca_service.alerts.cards.postgres_store import CardStore
from sca_service.alerts.cards.writer import CardWriter
from sca_service.alerts.postgres_store import Origin
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.policy.load import load
from sca_service.settings import shipped_policies

CLIENT = "issuer"
BY: Origin = {"actor": "client:issuer", "request": "req_1", "policy": "sha256:1"}
NOON = datetime(2030, 5, 10, 12, tzinfo=UTC)
POLICY = load(shipped_policies())


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return round(self.at.timestamp() * 1000)


def card_desk(pool: asyncpg.Pool, keyring: Keyring, clock: SetClock) -> CardDesk:
    """A desk as the roles have it."""
    store = CardStore(pool, POLICY.alerts, CardWriter(POLICY, keyring))
    return CardDesk(policy=POLICY, keyring=keyring, store=store, clock=clock)


def a_card() -> str:
    """A card that nobody else has."""
    return new_id("card")


def balance(
    minor: int,
    *,
    at: datetime = NOON,
    threshold: int | None = None,
    psu: str = "cust_1",
    currency: str = "EUR",
    phone: str = "+4915112345678",
) -> BalanceOrder:
    """A balance as a client tells it."""
    return BalanceOrder(psu, PhoneNumber.parse(phone), "de-DE", Balance(currency, minor, at, threshold))


def upcoming(
    minor: int, on: date, *, merchant: str = "Streaming AG", confidence: int = 100, currency: str = "EUR"
) -> UpcomingOrder:
    """A charge to come as a client tells it."""
    return UpcomingOrder(merchant, Amount(currency, minor), on, confidence, ChargeSource.ISSUER)


def past(minor: int, on: date, *, merchant: str = "Streaming AG") -> PastOrder:
    """A charge that was made as a client tells it."""
    return PastOrder(merchant, Amount("EUR", minor), on)
