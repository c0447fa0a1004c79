"""Reads elements.toml: which elements make strong customer authentication, and where it is required."""

from types import MappingProxyType

from sca_service.policy.model import ElementsPolicy, Purpose, Reach, Regime
from sca_service.policy.reader import Table


def read_elements(table: Table) -> ElementsPolicy:
    """Everything the file says; notes at the table what is wrong with it."""
    required = table.table("required")
    policy = ElementsPolicy(
        regime=table.choice("regime", Regime),
        required=MappingProxyType({purpose: required.choice(purpose, Reach) for purpose in Purpose}),
    )
    if required.is_sound("enrolment") and policy.required[Purpose.ENROLMENT] is not Reach.SCA:
        required.note("enrolment", "must be sca: an enrolment rests on it (RTS Art. 24(2)(b))")
    for one in (required, table):
        one.close()
    return policy
