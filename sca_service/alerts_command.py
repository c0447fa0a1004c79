"""`sca alerts simulate`: balances and charges of a CSV file, played: what would be sent, when and why."""

import csv
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from sca_service.alerts.cards.content import balance_text, values_of
from sca_service.alerts.cards.model import Balance
from sca_service.alerts.cards.recurring import PastCharge
from sca_service.alerts.cards.simulation import Expected, Happening, Simulation, Told
from sca_service.alerts.content import rendered
from sca_service.kernel.errors import InvalidInput, ScaError
from sca_service.kernel.money import MINOR_DIGITS, Amount
from sca_service.kernel.text import clean_text
from sca_service.policy.load import load
from sca_service.policy.model import Channel, Policy
from sca_service.settings import shipped_policies

COLUMNS: Final = (
    *("at", "card", "event", "amount", "currency"),
    *("threshold", "merchant", "date", "confidence", "reference"),
)
"""Those of the file; the last five may be left out, or empty where they say nothing of the event."""
_NEEDED: Final = COLUMNS[:5]
MOST_ROWS: Final = 1_000_000


def simulate(file: Path, *, policies: Path | None = None, locale: str = "", sent_after_s: int = 5) -> None:
    """Play balances and charges, and print what would be sent, when and why.

    Parameters
    ----------
    file
        A CSV file with the columns at, card, event (balance, upcoming or charge), amount, currency, threshold,
        merchant, date, confidence and reference, played in the order of `at` (RFC 3339).
    policies
        The folder of policies; those that come with the service when left out.
    locale
        The language of the texts, such as de-DE; the policy's default when left out.
    sent_after_s
        How many seconds an alert waits until it is sent, and cannot be suppressed any more: more in quiet hours.
    """
    policy = load(policies or shipped_policies())
    played = Simulation(policy.alerts, sent_after=timedelta(seconds=sent_after_s))
    sent = suppressed = 0
    for happening in played.play(_told(file)):
        print(_line(happening, policy, locale))
        sent += happening.warn is not None
        suppressed += happening.taken_back is not None
    print(f"{sent - suppressed} sent, {suppressed} suppressed before they were")


def _told(file: Path) -> list[Told]:
    """What the file tells. Raises ScaError at the first line that says nothing."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return list(_read(lines))
    except OSError as error:
        raise ScaError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScaError(f"{file} is not UTF-8") from None


def _read(lines: Iterator[str]) -> Iterator[Told]:
    reader = csv.DictReader(lines, restval="")
    names = reader.fieldnames or ()
    if missing := [name for name in _NEEDED if name not in names]:
        raise ScaError(f"the first line lacks {', '.join(missing)}")
    if unknown := [name for name in names if name not in COLUMNS]:
        raise ScaError(f"the first line has {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
    for row in reader:
        if reader.line_num > MOST_ROWS:
            raise ScaError(f"there are more than {MOST_ROWS} lines")
        try:
            if None in row:
                raise ValueError("has more columns than the first line")
            yield _row({name: text.strip() for name, text in row.items()})
        except InvalidInput as error:
            said = "; ".join(f"{one.pointer.strip('/')} {one.detail}".strip() for one in error.mistakes)
            raise ScaError(f"line {reader.line_num}: {said}") from None
        except ValueError as error:
            raise ScaError(f"line {reader.line_num}: {error}") from None


def _row(row: Mapping[str, str]) -> Told:
    """One line. Raises InvalidInput, ValueError."""
    at = datetime.fromisoformat(row["at"])
    if at.tzinfo is None:
        raise ValueError("at needs its offset, as in 2026-11-28T10:15:00Z")
    at = at.astimezone(UTC)
    card = clean_text(row["card"], pointer="/card", most=128)
    if row["event"] == "balance":
        return Told(at, card, _balance(row, at))
    if row["event"] not in ("upcoming", "charge"):
        raise ValueError("event must be balance, upcoming or charge")
    amount = Amount.parse(currency=row["currency"], amount=row["amount"])
    merchant = clean_text(row.get("merchant", ""), pointer="/merchant", most=70)
    day = date.fromisoformat(row.get("date", ""))
    if row["event"] == "charge":
        return Told(at, card, PastCharge(merchant, amount.currency, amount.minor, day))
    confidence = int(row.get("confidence") or 100)
    if not 1 <= confidence <= 100:
        raise ValueError("confidence must be 1 to 100")
    name = row.get("reference") or merchant
    return Told(at, card, Expected(name, merchant, amount.currency, amount.minor, day, confidence))


def _balance(row: Mapping[str, str], at: datetime) -> Balance:
    currency, text = row["currency"], row["amount"]
    is_nothing = not text.strip("-0.")
    magnitude = text.removeprefix("-")
    if currency not in MINOR_DIGITS:
        raise InvalidInput.at("/currency", "is not an active ISO 4217 currency")
    minor = 0 if is_nothing and text else Amount.parse(currency=currency, amount=magnitude).minor
    wanted = row.get("threshold", "")
    threshold = Amount.parse(currency=currency, amount=wanted).minor if wanted else None
    return Balance(currency, -minor if text.startswith("-") else minor, at, threshold)


def _line(happening: Happening, policy: Policy, locale: str) -> str:
    """One happening in words."""
    start = f"{happening.at:%Y-%m-%dT%H:%M:%SZ}  {happening.card_ref}"
    if happening.refused or happening.card is None:
        return f"{start}  ignored: {happening.refused}"
    warn = happening.warn or happening.taken_back
    assert warn is not None  # noqa: S101 - a happening is one of the three
    card, charge = happening.card, warn.charge
    tag = locale or policy.texts.default_language
    if charge is None:
        threshold = balance_text(card.currency, card.threshold_minor or 0, tag)
        about = f"balance {balance_text(card.currency, card.balance_minor, tag)}, threshold {threshold}"
    else:
        amount = balance_text(charge.currency, charge.amount_minor, tag)
        about = f"{charge.merchant} {amount} on {charge.expected_on} ({charge.source}, {charge.confidence_percent} %)"
    if happening.taken_back:
        return f"{start}  {warn.kind} suppressed, recovered: {about}"
    if charge is not None:
        about += f", {balance_text(card.currency, happening.left_minor, tag)} will be left before it"
    values = values_of(policy, warn, card, locale=tag, merchant=charge.merchant if charge else "")
    told = rendered(policy, warn.kind, locale=tag, channels=(Channel.SMS,), values=values)
    return f"{start}  {warn.kind}: {about}\n    {told.texts[Channel.SMS]}"
