"""What tests of suppliers' adapters share: what an adapter is built with, a message, and a look for leaks.

context = adapter_context("kaleyra", {"sid": "EXAMPLE1", "base_url": server.url}, {"api_key": "…"}, http=http)
supplier = make_supplier(context)
"""

from collections.abc import Mapping
from typing import cast

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.kinds import KINDS
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import CallBack, Message, Word
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SenderRule, SupplierRule

PUBLIC_URL = "https://sca.bank.example"
NUMBER = "+491713920001"
TEXT = "49,99 € an ACME & Söhne: Code 271828"
DELIVERY = "dlv_0000000000000000000000000000000000000001"
NOW_MS = 1_700_000_000_000
KEYRING = Keyring.parse(create_keyring_text())


class StoppedClock:
    """A clock that shows one time."""

    def now_ms(self) -> int:
        """Always the same instant."""
        return NOW_MS


class DeafEar:
    """Hears nothing: for adapters that tell over HTTP."""

    async def hear(self, supplier: str, word: Word) -> None:
        """Never called."""
        raise AssertionError("this adapter tells over HTTP")


def adapter_context(
    kind: str,
    options: Mapping[str, object],
    secrets: Mapping[str, str],
    *,
    http: HttpClient | None = None,
) -> Context:
    """What a supplier called `example-<kind>` is built with. There is no Redis."""
    rule = SupplierRule(
        name=f"example-{kind}",
        kind=kind,
        channel=KINDS[kind].channel,
        countries=(),
        currency="EUR",
        prices=(),
        options=options,
    )
    return Context(
        rule=rule,
        secrets={name: Secret(value) for name, value in secrets.items()},
        public_url=PUBLIC_URL,
        http=cast("HttpClient", http),
        ear=DeafEar(),
        redis=cast("RedisConnection", None),
        keyring=KEYRING,
        clock=StoppedClock(),
    )


def text_message(
    *,
    text: str = TEXT,
    delivery_id: str = DELIVERY,
    occasion: Occasion | None = Occasion.PAYMENT,
    sender: SenderRule | None = None,
    expires_at_ms: int = NOW_MS + 300_000,
) -> Message:
    """A text message to be sent now, of use for five minutes."""
    return Message(
        delivery_id=delivery_id,
        channel=Channel.SMS,
        to=Secret(NUMBER),
        text=Secret(text),
        locale="de-DE",
        occasion=occasion,
        expires_at_ms=expires_at_ms,
        sender=sender,
    )


def call_back(
    url: str, *, method: str = "POST", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> CallBack:
    """A supplier's call to this URL; the query's last value counts, as the api has it."""
    return CallBack(method=method, url=url, query={}, headers=headers or {}, body=body)


def words_of(error: BaseException | None) -> str:
    """Everything that an exception, and all that led to it, could put into a log."""
    said = []
    while error is not None:
        said += [str(error), repr(error), repr(error.args), *getattr(error, "__notes__", [])]
        error = error.__cause__ or error.__context__
    return "\n".join(said)
