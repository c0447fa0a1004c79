"""`sca routes explain`: which suppliers could carry a message, at which price, and which of them would."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Price
from sca_service.policy.load import load
from sca_service.policy.portability_reader import NETWORK
from sca_service.policy.supply import SenderRule
from sca_service.policy.words import Channel, Occasion, Purpose
from sca_service.routing.choose import Candidate, choose_among, rule_for, weigh
from sca_service.routing.countries import COUNTRY_CODES
from sca_service.routing.model import Destination, RouteChoice, RouteRequest
from sca_service.routing.offers import offers_for
from sca_service.routing.scorecard import Scorecard
from sca_service.settings import shipped_policies

_MOST_PARTS = 100
_WIDTH = 120
_NOTE = (
    "By policy alone: every quality is what is assumed of a supplier nobody has seen yet, every breaker is closed,\n"
    "nothing was sent this month. What the workers have learned since is in Redis and is not looked at."
)


def explain(
    *,
    channel: Channel,
    country: str = "",
    network: str = "",
    purpose: Purpose = Purpose.PAYMENT,
    alert: Annotated[bool, Parameter(negative=())] = False,
    parts: int = 1,
    policies: Path | None = None,
) -> None:
    """Show every supplier of a channel for one destination: price, score, and why it would be taken or not.

    Parameters
    ----------
    country
        ISO 3166 code of the number's country; needed for channels that go to a number.
    network
        MCC and MNC such as 262-01, where known.
    purpose
        What the message is for: it decides how price and quality are weighed.
    alert
        A message without a code, whatever the purpose.
    parts
        Into how many parts the text falls.
    policies
        The folder of policies; those that come with the service when left out.
    """
    _check(channel, country, network, parts)
    supply = load(policies or shipped_policies()).supply
    known = network or next(iter(COUNTRY_CODES.get(country, ())), "")
    request = RouteRequest(
        channel,
        Destination(country, known),
        None if alert else purpose,
        None if alert else Occasion(purpose.value),
        parts,
    )
    offers, rule, scores = offers_for(request, supply), rule_for(request, supply), Scorecard()
    choice = choose_among(offers, request, rule, scores, volumes={})
    candidates = weigh(offers.offers, request, rule, scores, volumes={}) if offers.offers else []
    console = Console(width=_WIDTH, highlight=False)
    where = " ".join(["to", country, *([f"({known})"] if known else [])]) if country else ""
    what = "an alert" if alert else purpose
    heading = f"{channel} {where} for {what}: price weighs {rule.price_weight} per cent"
    console.print(" ".join(heading.split()), markup=False)
    console.print(_table(candidates, choice, parts))
    console.print(_NOTE, style="dim", markup=False)


def _check(channel: Channel, country: str, network: str, parts: int) -> None:
    if channel.needs_phone and not country:
        raise InvalidInput.at("/country", f"is needed: {channel} goes to a number")
    if country and country not in COUNTRY_CODES:
        raise InvalidInput.at("/country", "is no country with phone numbers; an ISO 3166 code such as DE is")
    if network and not NETWORK.fullmatch(network):
        raise InvalidInput.at("/network", "is no network; MCC and MNC such as 262-01 are")
    if not 1 <= parts <= _MOST_PARTS:
        raise InvalidInput.at("/parts", f"must be 1 to {_MOST_PARTS}")


def _table(candidates: list[Candidate], choice: RouteChoice, parts: int) -> Table:
    """The suppliers that could carry it, the best first, then those that could not."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("supplier", "price", "quality", "score", "sender", "reason"):
        table.add_column(heading, justify="right" if heading in ("price", "quality", "score") else "left")
    passed_over = dict(choice.passed_over)
    for one in candidates:
        name = one.offer.supplier
        price = Price(one.offer.currency, one.price_micros).times(parts)
        reasons = (
            [passed_over[name]] if name in passed_over else list(choice.route.reasons if choice.route else ())
        )
        table.add_row(
            name,
            f"{price.text} {price.currency}",
            f"{one.quality:.3f}",
            f"{one.worth:.3f}",
            _shown(one.offer.sender),
            ("" if name in passed_over else "taken: ") + ", ".join(reasons),
        )
    ranked = {one.offer.supplier for one in candidates}
    for name, reason in choice.passed_over:
        if name not in ranked:
            table.add_row(name, "", "", "", "", reason)
    if not table.row_count:
        table.add_row("none", "", "", "", "", "no supplier carries this channel")
    return table


def _shown(sender: SenderRule | None) -> str:
    return f"{sender.id} ({sender.kind})" if sender else ""
