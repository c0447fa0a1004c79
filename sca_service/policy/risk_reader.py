"""Reads risk.toml: signals with their conditions in CEL, thresholds, what a step-up leaves out, and whom to ask."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from sca_service.policy.conditions import Condition, ConditionError, ConditionLanguage
from sca_service.policy.reader import Table
from sca_service.policy.risk import (
    FACTOR_ARTICLES,
    FACTS,
    AnswerMethod,
    Factor,
    LineQuestion,
    LineRule,
    MemoryRule,
    RiskPolicy,
    Signal,
    StepUpRule,
    Thresholds,
)
from sca_service.policy.words import Channel

_Choice = TypeVar("_Choice", bound=StrEnum)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_NAME_RULE = "lower-case letters, digits and hyphens, at most 40"
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_REASON_RULE = "lower-case letters, digits and underscores, at most 40"
_ROW = re.compile(r"^\s*\[\[\s*(\w+)\s*\]\]")
_CONDITION = re.compile(r"^\s*condition\s*=")


def read_risk(table: Table, text: str) -> RiskPolicy:
    """Everything the file says; notes at the table what is wrong. `text` is the file, for its line numbers."""
    language = ConditionLanguage({name: fact.kind for name, fact in FACTS.items()})
    thresholds = _thresholds(table.table("thresholds"))
    line = _line(table.table("line"))
    memory = _memory(table.table("memory"))
    rows = table.tables("signal", named_by="name")
    signals = tuple(
        _signal(row, language, at) for row, at in zip(rows, _lines(text, "signal", len(rows)), strict=True)
    )
    rules = table.tables("step_up", named_by="name")
    step_up = tuple(
        _step_up(row, language, at)
        for row, at in zip(rules, _lines(text, "step_up", len(rules)), strict=True)
    )
    table.close()
    _note_twins(rows, [signal.name for signal in signals])
    _note_twins(rules, [rule.name for rule in step_up])
    if table.is_sound("signal") and all(row.is_sound("factor", "condition") for row in rows):
        _note_factors(table, signals)
    return RiskPolicy(thresholds, signals, step_up, line, memory, language)


def _thresholds(table: Table) -> Thresholds:
    found = Thresholds(
        challenge=table.integer("challenge"), step_up=table.integer("step_up"), refuse=table.integer("refuse")
    )
    table.close()
    ascends = found.challenge < found.step_up < found.refuse
    if table.is_sound("challenge", "step_up", "refuse") and not ascends:
        table.note("", "do not ascend; allowed: challenge less than step_up, step_up less than refuse")
    return found


def _line(table: Table) -> LineRule:
    rule = LineRule(
        asks=table.choices("asks", LineQuestion),
        timeout_ms=table.integer("timeout_ms"),
        remember_seconds=table.integer("remember_seconds"),
        remember_unknown_seconds=table.integer("remember_unknown_seconds"),
        sim_swap_hours=table.integer("sim_swap_hours"),
        device_swap_hours=table.integer("device_swap_hours"),
        base_url=table.text("base_url") if table.may_hold("base_url") else "",
        access_url=table.text("access_url") if table.may_hold("access_url") else "",
    )
    table.close()
    for key, url in (("base_url", rule.base_url), ("access_url", rule.access_url)):
        if table.is_sound(key) and url and not _is_url(url):
            table.note(key, "is no such URL; allowed: https://…, without a password, query or fragment")
    if table.is_sound("base_url", "access_url") and bool(rule.base_url) != bool(rule.access_url):
        table.note(
            "access_url" if rule.base_url else "base_url",
            "missing; allowed: both base_url and access_url, or none",
        )
    return rule


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        extra = (
            parts.username is not None or parts.query or parts.fragment or not url.isprintable() or " " in url
        )
        return (
            bool(parts.hostname)
            and not extra
            and (parts.scheme == "https" or (parts.scheme == "http" and is_local))
        )
    except ValueError:
        return False


def _memory(table: Table) -> MemoryRule:
    rule = MemoryRule(
        payer_days=table.integer("payer_days"),
        subject_days=table.integer("subject_days"),
        report_days=table.integer("report_days"),
        listed_days=table.integer("listed_days"),
    )
    table.close()
    return rule


def _signal(table: Table, language: ConditionLanguage, line: int | None) -> Signal:
    name = _matching(table, "name", _NAME, _NAME_RULE)
    factor = table.choice("factor", Factor)
    condition = _condition(table, language, line)
    weight = table.integer("weight")
    reason = _matching(table, "reason", _REASON, _REASON_RULE)
    when_missing = table.integer("when_missing") if table.may_hold("when_missing") else 0
    table.close()
    if table.is_sound("weight", "when_missing", "factor"):
        most = 0 if factor is Factor.TRUST else weight
        if when_missing > most:
            table.note("when_missing", f"{when_missing} is too much for its weight; allowed: 0 to {most}")
    return Signal(name, factor, condition, weight, reason, when_missing)


def _step_up(table: Table, language: ConditionLanguage, line: int | None) -> StepUpRule:
    rule = StepUpRule(
        name=_matching(table, "name", _NAME, _NAME_RULE),
        condition=_condition(table, language, line),
        leave_out_channels=_optional(table, "leave_out_channels", Channel),
        leave_out_methods=_optional(table, "leave_out_methods", AnswerMethod),
        reason=_matching(table, "reason", _REASON, _REASON_RULE),
    )
    table.close()
    if table.is_sound("leave_out_methods") and len(rule.leave_out_methods) == len(AnswerMethod):
        table.note("leave_out_methods", "leaves none; allowed: all but one of them")
    held = table.is_sound("leave_out_channels", "leave_out_methods")
    if held and not (rule.leave_out_channels or rule.leave_out_methods):
        table.note(
            "leave_out_channels",
            "nothing is left out; allowed: leave_out_channels, leave_out_methods or both",
        )
    return rule


def _optional(table: Table, key: str, choices: type[_Choice]) -> tuple[_Choice, ...]:
    return table.choices(key, choices) if table.may_hold(key) else ()


def _matching(table: Table, key: str, pattern: re.Pattern[str], allowed: str) -> str:
    text = table.text(key, allowed)
    if table.is_sound(key) and not pattern.fullmatch(text):
        table.note(key, f"is no {key}; allowed: {allowed}")
    return text


def _condition(table: Table, language: ConditionLanguage, line: int | None) -> Condition:
    """The compiled condition; for a mistake a note with the line of the file, and a condition nobody will use."""
    source = table.text("condition", "a condition in CEL")
    try:
        return language.compile(source)
    except ConditionError as error:
        if table.is_sound("condition"):
            place = f"line {line + error.line - 1}: " if line else ""
            table.note(
                "condition", f"{place}{error}; allowed: CEL that comes to true or false (docs/risk.md)"
            )
        return language.compile("payees >= 0")


def _lines(text: str, section: str, count: int) -> Sequence[int | None]:
    """In which lines of the file the conditions of a section's rows stand, as far as the file is laid out in rows."""
    found: list[int | None] = []
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if row := _ROW.match(line):
            current = row[1]
            if current == section:
                found.append(None)
        elif current == section and found[-1] is None and _CONDITION.match(line):
            opens_below = line.rstrip().endswith(('"""', "'''"))
            found[-1] = number + int(opens_below)
    return found if len(found) == count else [None] * count


def _note_twins(rows: Iterable[Table], names: Sequence[str]) -> None:
    for at, row in enumerate(rows):
        if row.is_sound("name") and names[at] in names[:at]:
            row.note("name", f'"{names[at]}" is the name of another one too; allowed: a name of its own')


def _note_factors(table: Table, signals: Sequence[Signal]) -> None:
    """Every factor needs a signal that looks at a fact of it, and counts."""
    looked_at = {
        signal.factor
        for signal in signals
        if signal.weight > 0 and any(FACTS[name].factor is signal.factor for name in signal.condition.facts)
    }
    for factor, article in FACTOR_ARTICLES.items():
        if factor not in looked_at:
            facts = ", ".join(name for name, fact in FACTS.items() if fact.factor is factor)
            table.note(
                "signal", f'needs one with factor = "{factor}" that looks at one of {facts} ({article})'
            )
