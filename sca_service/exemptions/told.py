"""What an assessment says beside its outcome, packed for the table: the same question gets the same answer again."""

from dataclasses import dataclass

import msgspec

from sca_service.exemptions.model import Article, Assessment, Condition, Obstacle, Reason, Risk
from sca_service.exemptions.rows import reason_texts
from sca_service.policy.risk import Decision


class _Told(msgspec.Struct, frozen=True):
    reasons: list[str]
    conditions: dict[str, bool]
    score: int | None
    policy: str
    decision: Decision | None = None
    payments: int = 1


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Told).decode


@dataclass(frozen=True, slots=True)
class Told:
    """The assessment, the risk that it was made with, and the digest of the policy that decided.

    `payments` is how many individual payments it is about: as many as a batch has payees.
    """

    assessment: Assessment
    risk: Risk
    policy: str
    payments: int = 1


def pack(told: Told) -> str:
    """As JSON text; a condition of which nothing was supplied is left out."""
    risk = told.risk
    known = {name.value: found for name in Condition if (found := risk.found(name)) is not None}
    return _encode(
        _Told(reason_texts(told.assessment), known, risk.score, told.policy, risk.decision, told.payments)
    ).decode()


def unpack(text: str, *, exempt: bool, article: str | None) -> Told:
    """What `pack` made. Raises msgspec.DecodeError, ValueError for anything else."""
    told = _decode(text)
    reasons = tuple(_reason(one) for one in told.reasons)
    risk = Risk(
        {Condition(name): found for name, found in told.conditions.items()}, told.score, told.decision
    )
    return Told(
        Assessment(exempt, Article(article) if article else None, reasons), risk, told.policy, told.payments
    )


def _reason(text: str) -> Reason:
    article, _, obstacle = text.partition(":")
    return Reason(Article(article), Obstacle(obstacle))
