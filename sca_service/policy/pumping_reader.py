"""Reads pumping.toml: the budgets of each scope, the mark for conversion, and where nothing is ever sent."""

import re
from types import MappingProxyType

from sca_service.policy.pumping import AtBlock, BudgetRule, PumpingPolicy, PumpingScope
from sca_service.policy.reader import Table

_BEGINNING = re.compile(r"\+[1-9][0-9]{0,13}", re.ASCII)


def read_pumping(table: Table) -> PumpingPolicy:
    """Everything the file says; notes at the table what is wrong with it."""
    policy = PumpingPolicy(
        at_block=table.choice("at_block", AtBlock),
        at_block_in_sandbox=table.choice("at_block_in_sandbox", AtBlock),
        window_hours=table.integer("window_hours"),
        history_days=table.integer("history_days"),
        answer_minutes=table.integer("answer_minutes"),
        block_seconds=table.integer("block_seconds"),
        known_days=table.integer("known_days"),
        most_allowed_days=table.integer("most_allowed_days"),
        conversion_percent=table.integer("conversion_percent"),
        most_countries=table.integer("most_countries"),
        never_sent_to=table.texts("never_sent_to"),
        budgets=MappingProxyType(_budgets(table)),
    )
    table.close()
    for at, beginning in enumerate(policy.never_sent_to, start=1):
        if table.is_sound("never_sent_to") and not _BEGINNING.fullmatch(beginning):
            table.note(
                f"never_sent_to[{at}]",
                "is no beginning of a number; allowed: + and 1 to 14 digits, as in +4470",
            )
    return policy


def _budgets(table: Table) -> dict[PumpingScope, BudgetRule]:
    """The budget of each scope; there are as many as scopes, so twins are all that has to be looked for."""
    found: dict[PumpingScope, BudgetRule] = {}
    for row in table.tables("budget", named_by="scope"):
        scope, rule = row.choice("scope", PumpingScope), _budget(row)
        if row.is_sound("scope") and scope in found:
            row.note("scope", f'"{scope}" has another budget too; allowed: one for each scope')
        found[scope] = rule
    return found


def _budget(table: Table) -> BudgetRule:
    """The numbers of one row; its scope is read."""
    rule = BudgetRule(
        floor=table.integer("floor"),
        best_day_percent=table.integer("best_day_percent"),
        day_percent=table.integer("day_percent"),
        hour_percent=table.integer("hour_percent"),
        waiting=table.integer("waiting"),
        least_sent=table.integer("least_sent"),
    )
    table.close()
    return rule
