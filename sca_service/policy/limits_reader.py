"""Reads limits.toml: how often, whose actions are counted together, and what happens when a limit is spent."""

import re
from dataclasses import dataclass

from sca_service.policy.bounds import NEEDED_LIMITS
from sca_service.policy.model import AtLimit, LimitedAction, LimitRule, LimitScope
from sca_service.policy.reader import Table

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_OF_REQUESTS = (AtLimit.REFUSE, AtLimit.OBSERVE)
_OF_MESSAGES = (AtLimit.NEXT_CHANNEL, AtLimit.OBSERVE)


@dataclass(frozen=True, slots=True)
class _Fitting:
    """What a limit on an action can count by, and what can happen at it."""

    scopes: tuple[LimitScope, ...]
    at_limit: tuple[AtLimit, ...] = _OF_REQUESTS


_LINE = (LimitScope.PHONE, LimitScope.PREFIX, LimitScope.COUNTRY)
_FITTING = {
    LimitedAction.ISSUE: _Fitting(
        (LimitScope.PAYER, LimitScope.CLIENT, LimitScope.DEVICE, LimitScope.IP, *_LINE)
    ),
    LimitedAction.RESEND: _Fitting((LimitScope.PAYER,)),
    LimitedAction.SEND: _Fitting((*_LINE, LimitScope.SUPPLIER), _OF_MESSAGES),
    LimitedAction.VERIFY: _Fitting((LimitScope.CLIENT, LimitScope.DEVICE, LimitScope.IP)),
    LimitedAction.ENROL: _Fitting((LimitScope.PAYER, LimitScope.CLIENT)),
    LimitedAction.PROVE: _Fitting((LimitScope.ADDRESS,)),
}
"""An action counts by what is known of it: no number is sent to by a push."""


def read_limits(table: Table) -> tuple[tuple[LimitRule, ...], int]:
    """The limits in the order of the file, and how many challenges of a payer may be pending."""
    most_pending = table.integer("most_pending")
    rows = table.tables("limit", named_by="name")
    limits = tuple(_limit(row) for row in rows)
    table.close()
    for at, (row, limit) in enumerate(zip(rows, limits, strict=True)):
        if row.is_sound("name") and limit.name in (earlier.name for earlier in limits[:at]):
            row.note("name", f'"{limit.name}" is the name of another limit too; allowed: a name of its own')
    if table.is_sound("limit") and all(row.is_sound("on", "scope", "at_limit") for row in rows):
        refusing = {(limit.on, limit.scope) for limit in limits if limit.at_limit is AtLimit.REFUSE}
        for action, scope in NEEDED_LIMITS:
            if (action, scope) not in refusing:
                wanted = f'on = "{action}", scope = "{scope}" and at_limit = "refuse"'
                table.note("limit", f"needs at least one with {wanted} (OWASP ASVS 5.0 2.4.1 and 6.6.3)")
    return limits, most_pending


def _limit(table: Table) -> LimitRule:
    limit = LimitRule(
        name=table.text("name", "lower-case letters, digits and hyphens, at most 40"),
        on=table.choice("on", LimitedAction),
        scope=table.choice("scope", LimitScope),
        count=table.integer("count"),
        per_seconds=table.integer("per_seconds"),
        burst=table.integer("burst"),
        at_limit=table.choice("at_limit", AtLimit),
    )
    table.close()
    if table.is_sound("name") and not _NAME.fullmatch(limit.name):
        table.note(
            "name", "is no name for a limit; allowed: lower-case letters, digits and hyphens, at most 40"
        )
    if table.is_sound("on"):
        fitting = _FITTING[limit.on]
        if table.is_sound("scope") and limit.scope not in fitting.scopes:
            table.note("scope", f'does not fit on = "{limit.on}"; allowed: {_listed(fitting.scopes)}')
        if table.is_sound("at_limit") and limit.at_limit not in fitting.at_limit:
            table.note("at_limit", f'does not fit on = "{limit.on}"; allowed: {_listed(fitting.at_limit)}')
    if table.is_sound("count", "burst") and limit.burst > limit.count:
        table.note("burst", f"{limit.burst} is more than count; allowed: 1 to {limit.count}")
    if table.is_sound("count", "per_seconds") and limit.count > limit.per_seconds * 1000:
        table.note("count", f"is more than one per millisecond; allowed: 1 to {limit.per_seconds * 1000}")
    return limit


def _listed(words: tuple[LimitScope, ...] | tuple[AtLimit, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)
