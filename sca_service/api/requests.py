"""How what clients send (`forms.py`) becomes values: every mistake is told at once, with its JSON pointer."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from babel import Locale, UnknownLocaleError
from msgspec import Meta, ValidationError, convert, json, structs

from sca_service.api.forms import (
    AmountForm,
    AnswerForm,
    CreateChallenge,
    PayeeForm,
    SignalsForm,
    TransactionForm,
)
from sca_service.authenticators.passkey.passkeys import read_response
from sca_service.authenticators.pin.rules import parse_pin
from sca_service.challenges import code
from sca_service.challenges.answer import Answer
from sca_service.challenges.elements import Presented
from sca_service.challenges.model import Method
from sca_service.challenges.order import ChallengeOrder, Instrument, WantedStep
from sca_service.kernel.account import Account
from sca_service.kernel.addresses import site_of
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.text import clean_text
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.model import Purpose
from sca_service.risk.facts import Marks

T = TypeVar("T")

_MOST_METADATA = 20
_SIGNALS = ("ip", "device_id", "user_agent", "session_id")
"""Those that are personal, and go into the evidence."""
_NO_MARKS = frozenset(SignalsForm.__struct_fields__) - frozenset(Marks.__struct_fields__)
_DEGREES = {"latitude": 90, "longitude": 180}
_Moment = Annotated[datetime, Meta(tz=True)]


class Mistakes:
    """Collects every mistake of one request before it is refused. A class because it collects."""

    def __init__(self) -> None:
        self._found: list[Mistake] = []

    def read(self, pointer: str, parse: Callable[[], T]) -> T | None:
        """What `parse` gives, or None with its mistakes noted below `pointer`."""
        try:
            return parse()
        except InvalidInput as error:
            self._found.extend(mistake.below(pointer) for mistake in error.mistakes)
            return None

    def note(self, pointer: str, detail: str) -> None:
        """Note one mistake."""
        self._found.append(Mistake(pointer, detail))

    def refuse(self) -> None:
        """Raise InvalidInput when anything was found."""
        if self._found:
            raise InvalidInput(*self._found)


def order_of(form: CreateChallenge) -> ChallengeOrder:
    """The order that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    psu = form.psu
    locale = mistakes.read("/psu/locale", lambda: locale_of(psu.locale))
    order = ChallengeOrder(
        psu_id=mistakes.read("/psu/id", lambda: psu_id_of(psu.id)) or "",
        purpose=form.purpose,
        method=form.method,
        transaction=mistakes.read("/transaction", lambda: transaction_for(form.purpose, form.transaction)),
        phone=mistakes.read(
            "/psu/phone", lambda: PhoneNumber.parse(psu.phone) if psu.phone is not None else None
        ),
        locale=locale or "",
        channels=[WantedStep(step.channel, step.timeout_s) for step in form.channels or ()],
        elements_presented=tuple(_presented(form, mistakes)),
        signals=mistakes.read("/signals", lambda: _signals(form.signals)),
        lifetime_seconds=form.expires_in_s,
        reference=mistakes.read("/reference", lambda: _optional_text(form.reference, 140)),
        metadata=mistakes.read("/metadata", lambda: _metadata(form.metadata)),
        instrument=mistakes.read("/instrument", lambda: _instrument(form)),
        marks=mistakes.read("/signals", lambda: marks_of(form.signals)) or Marks(),
    )
    mistakes.refuse()
    return order


def answer_of(form: AnswerForm, *, key: str) -> Answer:
    """The answer that a form stands for. Raises InvalidInput with every mistake; no attempt is spent."""
    mistakes = Mistakes()
    typed, signed = form.code, form.passkey
    presented = mistakes.read("/code", lambda: code.parse_code(typed) if typed is not None else None)
    response = mistakes.read("/passkey", lambda: _response(signed) if signed is not None else None)
    if typed is None and signed is None:
        mistakes.note("/code", "is required")
    elif typed is not None and signed is not None:
        mistakes.note("/passkey", "stands in place of a code")
    transaction = mistakes.read(
        "/transaction", lambda: transaction_of(form.transaction) if form.transaction else None
    )
    pin = mistakes.read("/pin", lambda: parse_pin(form.pin) if form.pin is not None else None)
    mistakes.refuse()
    return Answer(presented, transaction, key, pin, response)


def psu_id_of(text: str, pointer: str = "") -> str:
    """A payer's reference, 1 to 128 characters. Raises InvalidInput at `pointer`."""
    return clean_text(text, pointer=pointer, most=128)


def moment_of(text: str, pointer: str) -> datetime:
    """An RFC 3339 time, in UTC. Raises InvalidInput at `pointer`, also for a time that does not say its offset."""
    try:
        return convert(text, _Moment).astimezone(UTC)
    except (ValidationError, OverflowError) as error:
        raise InvalidInput.at(pointer, "must be an RFC 3339 time such as 2026-11-22T10:15:00Z") from error


def transaction_for(purpose: Purpose, form: TransactionForm | None) -> Transaction | None:
    """The transaction of a challenge: a payment has one, nothing else has. Raises InvalidInput."""
    if purpose is Purpose.PAYMENT and form is None:
        raise InvalidInput.at("", "is required for a payment")
    if purpose is not Purpose.PAYMENT and form is not None:
        raise InvalidInput.at("", "only a payment has one")
    return transaction_of(form) if form else None


def transaction_of(form: TransactionForm) -> Transaction:
    """The transaction that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    reference = mistakes.read("/reference", lambda: _optional_text(form.reference, 140))
    if form.total is not None or form.payees is not None:
        return _batch(form, reference, mistakes)
    if form.amount is None:
        mistakes.note("/amount", "is required")
    if form.payee is None:
        mistakes.note("/payee", "is required")
    mistakes.refuse()
    assert form.amount and form.payee  # noqa: S101 - or `refuse` would have raised
    amount, payee = _share(form.amount, form.payee, mistakes, "")
    mistakes.refuse()
    assert amount and payee  # noqa: S101 - or `refuse` would have raised
    build = Transaction.preauthorisation if form.kind == "preauthorisation" else Transaction.payment
    return build(amount=amount, payee=payee, reference=reference)


def _batch(form: TransactionForm, reference: str | None, mistakes: Mistakes) -> Transaction:
    if form.amount or form.payee:
        mistakes.note("/total", "a batch has `total` and `payees`, a single transaction `amount` and `payee`")
    if form.kind == "preauthorisation":
        mistakes.note("/kind", "a batch cannot be a preauthorisation")
    if form.total is None or form.payees is None:
        mistakes.note("/total" if form.total is None else "/payees", "is required for a batch")
    mistakes.refuse()
    assert form.total and form.payees  # noqa: S101 - or `refuse` would have raised
    wanted = form.total
    total = mistakes.read("/total", lambda: Amount.parse(currency=wanted.currency, amount=wanted.minor))
    shares: list[PayeeShare] = []
    for at, share in enumerate(form.payees):
        amount, payee = _share(share.amount, share.payee, mistakes, f"/payees/{at}")
        if amount and payee:
            shares.append(PayeeShare(payee, amount))
    mistakes.refuse()
    assert total  # noqa: S101 - or `refuse` would have raised
    return Transaction.batch(total=total, shares=shares, reference=reference)


def _share(
    amount: AmountForm, payee: PayeeForm, mistakes: Mistakes, pointer: str
) -> tuple[Amount | None, Payee | None]:
    money = mistakes.read(
        f"{pointer}/amount", lambda: Amount.parse(currency=amount.currency, amount=amount.minor)
    )
    name = mistakes.read(f"{pointer}/payee/name", lambda: clean_text(payee.name, pointer="", most=140))
    written = payee.account
    account = (
        mistakes.read(f"{pointer}/payee/account", lambda: Account.parse(iban=written.iban, bban=written.bban))
        if written
        else None
    )
    return money, Payee(name, account) if name else None


def _presented(form: CreateChallenge, mistakes: Mistakes) -> list[Presented]:
    """The elements that the client answers for, each with the channel it came by, if it was one of ours."""
    presented, over = form.elements_presented or [], form.presented_over or {}
    for element in over:
        if element not in presented:
            mistakes.note(f"/presented_over/{element}", "is not among `elements_presented`")
    return [Presented(element, over.get(element)) for element in presented]


def _instrument(form: CreateChallenge) -> Instrument | None:
    if form.instrument is None:
        return None
    if form.method is not Method.PASSKEY:
        raise InvalidInput.at("", "is for passkeys only")
    if not form.instrument.icon.startswith(("https://", "http://localhost:")):
        raise InvalidInput.at("/icon", "must be an https:// URL, or one of http://localhost")
    return Instrument(
        clean_text(form.instrument.name, pointer="/name", most=140),
        clean_text(form.instrument.icon, pointer="/icon", most=2048),
    )


def _response(signed: dict[str, Any]) -> bytes:
    return read_response(json.encode(signed))


def _optional_text(text: str | None, most: int) -> str | None:
    return None if text is None else clean_text(text, pointer="", most=most)


@lru_cache(maxsize=512)
def locale_of(tag: str | None) -> str | None:
    """A locale that is known (BCP 47), None when none is named. Raises InvalidInput."""
    if tag is None:
        return None
    try:
        Locale.parse(tag, sep="-" if "-" in tag else "_")
    except (ValueError, UnknownLocaleError) as error:
        raise InvalidInput.at("", "must be a locale such as de-DE") from error
    return tag


def _signals(form: SignalsForm | None) -> dict[str, str] | None:
    if form is None:
        return None
    mistakes = Mistakes()
    signals: dict[str, str] = {}
    for name in _SIGNALS:
        value = getattr(form, name)
        if value is not None:
            text = mistakes.read(f"/{name}", lambda value=value: clean_text(value, pointer="", most=1024))  # type: ignore[misc]
            signals[name] = text or ""
    if form.ip is not None and site_of(form.ip) is None:
        mistakes.note("/ip", "must be an IPv4 or IPv6 address")
    mistakes.refuse()
    return signals


def checked_marks(form: SignalsForm | None) -> Marks:
    """The same, and that its texts can be shown. Raises InvalidInput with every mistake."""
    _signals(form)
    return marks_of(form)


def marks_of(form: SignalsForm | None) -> Marks:
    """What the client says of a request, as risk takes it. Raises InvalidInput with every mistake."""
    if form is None:
        return Marks()
    mistakes = Mistakes()
    for name, most in _DEGREES.items():
        degrees = getattr(form, name)
        if degrees is not None and not -most <= degrees <= most:  # false for NaN too
            mistakes.note(f"/{name}", f"must be -{most} to {most} degrees")
    if (form.latitude is None) is not (form.longitude is None):
        mistakes.note("/longitude", "latitude and longitude are given together")
    card = form.card_ref
    if card is not None:
        mistakes.read("/card_ref", lambda: clean_text(card, pointer="", most=128))
    mistakes.refuse()
    given: dict[str, Any] = {}
    for name, value in structs.asdict(form).items():
        if value is None or name in _NO_MARKS:
            continue
        if isinstance(value, str):  # in one spelling, as lists have it
            value = unicodedata.normalize("NFC", value).strip()  # noqa: PLW2901
        given[name] = tuple(value) if isinstance(value, list) else value
    return Marks(**given)


def _metadata(metadata: dict[str, str] | None) -> dict[str, str] | None:
    if metadata is None:
        return None
    if len(metadata) > _MOST_METADATA:
        raise InvalidInput.at("", f"must have at most {_MOST_METADATA} members")
    for text in (*metadata.keys(), *metadata.values()):
        if text and not text.isprintable():
            raise InvalidInput.at("", "must not hold control or invisible characters")
    return metadata
