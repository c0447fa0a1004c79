"""Reads exemptions.toml: which exemptions of RTS chapter III a bank uses, and within which limits."""

from types import MappingProxyType

from sca_service.kernel.money import MINOR_DIGITS
from sca_service.policy.exemption_bounds import UNATTENDED_CATEGORIES, most_reference_ppm
from sca_service.policy.exemptions import (
    EURO,
    AccessRule,
    Article,
    Band,
    CorporateRule,
    CounterMode,
    CounterRule,
    Counting,
    ExemptionPolicy,
    PaymentType,
    RiskAnalysisRule,
)
from sca_service.policy.reader import Table
from sca_service.policy.risk import Decision


def read_exemptions(table: Table) -> ExemptionPolicy:
    """Everything the file says; notes at the table what is wrong with it."""
    access = table.table("account_access")
    terminals = table.table("unattended_terminals")
    corporate = _corporate(table.table("corporate")) if table.may_hold("corporate") else CorporateRule((), "")
    policy = ExemptionPolicy(
        order=_order(table, corporate),
        open_seconds=table.integer("open_seconds"),
        access=AccessRule(access.integer("sca_every_days"), access.integer("oldest_days")),
        contactless=_counter(table.table("contactless")),
        low_value=_counter(table.table("low_value")),
        unattended_categories=_categories(terminals),
        corporate=corporate,
        risk_analysis=_risk_analysis(table.table("risk_analysis")),
        rates=MappingProxyType(_rates(table)),
        none_from=_none_from(table),
        executed_days=table.integer("executed_days"),
        unexecuted_days=table.integer("unexecuted_days"),
    )
    for one in (access, terminals, table):
        one.close()
    return policy


def _order(table: Table, corporate: CorporateRule) -> tuple[Article, ...]:
    order = table.choices("order", Article)
    if table.is_sound("order"):
        if Article.AISP_ACCESS not in order:
            table.note("order", 'lacks "10a"; allowed: with it (RTS Art. 10a: a bank has to grant it)')
        if Article.CORPORATE in order and not (corporate.processes and corporate.evidence.strip()):
            table.note(
                "order",
                'holds "17" without processes and evidence in [corporate]; allowed: with both (RTS Art. 17)',
            )
    return order


def _none_from(table: Table) -> Decision:
    decision = table.choice("none_from", Decision)
    if table.is_sound("none_from") and decision is Decision.ALLOW:
        table.note(
            "none_from", 'is "allow", so that nothing is ever exempt; allowed: challenge, step_up, refuse'
        )
    return decision


def _counter(table: Table) -> CounterRule:
    rule = CounterRule(
        single_cents=table.integer("single_cents"),
        mode=table.choice("counter", CounterMode),
        cumulative_cents=table.integer("cumulative_cents"),
        count=table.integer("count"),
        counting=table.choice("counting", Counting),
    )
    table.close()
    return rule


def _categories(table: Table) -> frozenset[str]:
    categories = table.texts("merchant_categories", "an array of merchant category codes")
    allowed = ", ".join(sorted(UNATTENDED_CATEGORIES))
    for category in categories:
        if category not in UNATTENDED_CATEGORIES:
            table.note(
                "merchant_categories",
                f'"{category[:8]}" is neither a transport fare nor a parking fee; allowed: {allowed} (RTS Art. 12)',
            )
    return frozenset(categories)


def _corporate(table: Table) -> CorporateRule:
    rule = CorporateRule(
        processes=table.texts("processes"), evidence=table.bounded_text("evidence", "evidence")
    )
    table.close()
    return rule


def _risk_analysis(table: Table) -> RiskAnalysisRule:
    rule = RiskAnalysisRule(
        history_days=table.integer("history_days"),
        bands=MappingProxyType({kind: _bands(table, kind) for kind in PaymentType}),
    )
    table.close()
    return rule


def _bands(table: Table, kind: PaymentType) -> tuple[Band, ...]:
    bands: list[Band] = []
    for row in table.tables(kind):
        band = Band(row.integer("most_cents"), row.integer("reference_ppm"))
        row.close()
        if not row.is_sound("most_cents", "reference_ppm"):
            continue
        most = most_reference_ppm(kind, band.most_cents)
        if band.reference_ppm > most:
            row.note(
                "reference_ppm",
                f"{band.reference_ppm} is too much for {band.most_cents} cents; allowed: 0 to {most} (RTS Annex)",
            )
        if bands and band.most_cents <= bands[-1].most_cents:
            row.note("most_cents", f"does not ascend; allowed: more than {bands[-1].most_cents}")
        bands.append(band)
    return tuple(bands)


def _rates(table: Table) -> dict[str, int]:
    rates: dict[str, int] = {}
    for row in table.tables("rate", named_by="currency") if table.may_hold("rate") else ():
        currency, micros = row.text("currency", "an ISO 4217 code"), row.integer("micros")
        row.close()
        if not row.is_sound("currency"):
            continue
        if currency not in MINOR_DIGITS or currency == EURO:
            row.note("currency", "is no other active currency; allowed: an ISO 4217 code but EUR")
        elif currency in rates:
            row.note("currency", "has a rate already; allowed: every currency once")
        rates[currency] = micros
    return rates
