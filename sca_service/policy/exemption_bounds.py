"""What exemptions.toml may not exceed: RTS chapter III, as amended by (EU) 2022/2360."""

from collections.abc import Mapping
from types import MappingProxyType

from sca_service.policy.bound import Bound
from sca_service.policy.exemptions import Band, PaymentType

FILE = "exemptions.toml"
_ANNEX = "RTS Art. 18(2)(b) and Annex"
_RATE = "RTS Art. 18(2)(a) and Annex"

REFERENCES: Mapping[PaymentType, tuple[Band, ...]] = MappingProxyType(
    {
        PaymentType.CARD: (Band(10_000, 1_300), Band(25_000, 600), Band(50_000, 100)),
        PaymentType.CREDIT_TRANSFER: (Band(10_000, 150), Band(25_000, 100), Band(50_000, 50)),
    }
)
"""The exemption threshold values of the Annex in cents, and the reference fraud rate of each in millionths."""

UNATTENDED_CATEGORIES = frozenset({"4111", "4112", "4131", "4784", "7523"})
"""RTS Art. 12, transport fares and parking fees: commuter transport, railways, buses, tolls, parking (ISO 18245)."""


def most_reference_ppm(kind: PaymentType, most_cents: int) -> int:
    """The reference rate of the law for a band that ends at an amount; 0 above EUR 500, where there is none."""
    return next((band.reference_ppm for band in REFERENCES[kind] if most_cents <= band.most_cents), 0)


EXEMPTION_BOUNDS = (
    Bound(FILE, "open_seconds", 60, 86_400, "a payment that is not executed by then is assessed anew"),
    Bound(
        FILE,
        "executed_days",
        400,
        10_950,
        "Directive (EU) 2015/2366 Art. 71(1): a payer has 13 months to say that a payment was unauthorised",
    ),
    Bound(
        FILE,
        "unexecuted_days",
        2,
        3_650,
        "what was never paid is needed for no longer than it may be asked for",
    ),
    Bound(FILE, "account_access.sca_every_days", 1, 180, "RTS Art. 10(2)(b) and 10a(2)(b): 180 days"),
    Bound(FILE, "account_access.oldest_days", 1, 90, "RTS Art. 10(1)(b) and 10a(1)(b): the last 90 days"),
    Bound(FILE, "contactless.single_cents", 1, 5_000, "RTS Art. 11(a): EUR 50"),
    Bound(FILE, "contactless.cumulative_cents", 1, 15_000, "RTS Art. 11(b): EUR 150"),
    Bound(FILE, "contactless.count", 1, 5, "RTS Art. 11(c): five in a row"),
    Bound(FILE, "low_value.single_cents", 1, 3_000, "RTS Art. 16(a): EUR 30"),
    Bound(FILE, "low_value.cumulative_cents", 1, 10_000, "RTS Art. 16(b): EUR 100"),
    Bound(FILE, "low_value.count", 1, 5, "RTS Art. 16(c): five in a row"),
    Bound(
        FILE, "unattended_terminals.merchant_categories entries", 1, 5, "RTS Art. 12: fares and parking fees"
    ),
    Bound(FILE, "corporate.processes entries", 1, 50, "RTS Art. 17: dedicated processes"),
    Bound(FILE, "corporate.evidence characters", 1, 200, "RTS Art. 17: the authority is satisfied, on file"),
    Bound(FILE, "risk_analysis.history_days", 1, 90, "RTS Art. 19(1): a rate is calculated over 90 days"),
    Bound(FILE, "risk_analysis.card entries", 1, 3, "RTS Annex: three thresholds"),
    Bound(FILE, "risk_analysis.card[].most_cents", 1, 50_000, f"{_ANNEX}: EUR 500"),
    Bound(FILE, "risk_analysis.card[].reference_ppm", 0, 1_300, f"{_RATE}: 0.13 % up to EUR 100"),
    Bound(FILE, "risk_analysis.credit_transfer entries", 1, 3, "RTS Annex: three thresholds"),
    Bound(FILE, "risk_analysis.credit_transfer[].most_cents", 1, 50_000, f"{_ANNEX}: EUR 500"),
    Bound(FILE, "risk_analysis.credit_transfer[].reference_ppm", 0, 150, f"{_RATE}: 0.015 % up to EUR 100"),
    Bound(
        FILE,
        "rate[].micros",
        1,
        1_000_000_000,
        "millionths of a euro; no unit of a currency is worth more than a thousand",
    ),
)
