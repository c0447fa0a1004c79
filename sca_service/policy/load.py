"""Turns a folder of policy files into a Policy, or says all that is wrong with them; never half of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.alerts_reader import read_alerts
from sca_service.policy.analytics import AnalyticsPolicy
from sca_service.policy.bounds import REFUSED_CHANNELS
from sca_service.policy.elements_reader import read_elements
from sca_service.policy.exemptions_reader import read_exemptions
from sca_service.policy.limits_reader import read_limits
from sca_service.policy.model import (
    AuthenticatorPolicy,
    Channel,
    CodePolicy,
    DeviceKeyPolicy,
    GeneratorPolicy,
    Ladder,
    LadderStep,
    LockoutPolicy,
    OcraPolicy,
    Policy,
    Purpose,
    ResendPolicy,
    RetentionPolicy,
    StepReason,
    Until,
)
from sca_service.policy.pumping_reader import read_pumping
from sca_service.policy.reader import Table, read_file
from sca_service.policy.risk import RiskPolicy
from sca_service.policy.risk_reader import read_risk
from sca_service.policy.supply_reader import read_supply
from sca_service.policy.texts import read_texts
from sca_service.policy.webhooks_reader import read_webhooks

FILES = (
    "alerts.toml",
    "analytics.toml",
    "authenticators.toml",
    "code.toml",
    "elements.toml",
    "exemptions.toml",
    "ladder.toml",
    "limits.toml",
    "lockout.toml",
    "networks.toml",
    "pumping.toml",
    "retention.toml",
    "risk.toml",
    "senders.toml",
    "suppliers.toml",
    "texts.toml",
    "webhooks.toml",
)

NEXT = "next"
"""The folder within a folder of policies whose risk policy is tried out: scored beside, reported, never applied."""

_RISK = "risk.toml"
_CODE_CHANNELS = tuple(channel for channel in Channel if channel.carries_codes)


class PolicyError(ConfigurationError):
    """The policy files contradict themselves or the law.

    `mistakes` lists everything found, one line each, and so does the message.
    """

    code = "invalid-policy"
    title = "The policy is not valid"
    meaning = (
        "Shown on the command line only: the service does not start with a policy that lacks something, that "
        "contradicts itself or that exceeds a legal bound. Every mistake is listed as "
        "`file:key.path: what, and what is allowed`."
    )

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load(folder: Path) -> Policy:
    """The policy in a folder. Raises PolicyError with every mistake of every file."""
    read = _read(folder)
    if isinstance(read, Policy):
        return read
    raise PolicyError(*read)


def mistakes(folder: Path) -> list[str]:
    """Every mistake of every file as `file:key.path: what, and what is allowed`; none when all is well."""
    read = _read(folder)
    return [] if isinstance(read, Policy) else read


def digest_of(contents: Mapping[str, object]) -> str:
    """`sha256:…` over the parsed files by name: comments, spaces and the order of keys make no difference."""
    canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _read(folder: Path) -> Policy | list[str]:
    if not folder.is_dir():
        return [f"{folder}: is no folder; allowed: a folder with {', '.join(FILES)}"]
    found = [f"{name}: unknown file; allowed: {', '.join(FILES)}" for name in _unknown_files(folder)]
    tables: dict[str, Table] = {}
    contents: dict[str, dict[str, object]] = {}
    for name in FILES:
        tables[name], contents[name] = read_file(folder / name, found)
    code = _code(tables["code.toml"])
    ladders, resend = _ladders(
        tables["ladder.toml"], code if tables["code.toml"].is_sound("lifetime_seconds") else None
    )
    limits, most_pending = read_limits(tables["limits.toml"])
    lockout = _lockout(tables["lockout.toml"])
    retention = _retention(tables["retention.toml"])
    analytics = _analytics(tables["analytics.toml"])
    authenticators = _authenticators(tables["authenticators.toml"])
    elements = read_elements(tables["elements.toml"])
    exemptions = read_exemptions(tables["exemptions.toml"])
    pumping = read_pumping(tables["pumping.toml"])
    supply = read_supply(tables["suppliers.toml"], tables["senders.toml"], tables["networks.toml"])
    texts = read_texts(tables["texts.toml"])
    webhooks = read_webhooks(tables["webhooks.toml"])
    alerts = read_alerts(tables["alerts.toml"], texts)
    risk = _risk(folder, tables["risk.toml"], contents["risk.toml"])
    next_risk = _next_risk(folder / NEXT, found)
    if found:
        return found
    return Policy(
        code=code,
        lockout=lockout,
        ladders=ladders,
        resend=resend,
        limits=limits,
        most_pending=most_pending,
        retention=retention,
        alerts=alerts,
        analytics=analytics,
        authenticators=authenticators,
        elements=elements,
        exemptions=exemptions,
        pumping=pumping,
        texts=texts,
        supply=supply,
        risk=replace(risk, digest=digest_of({_RISK: contents[_RISK]})),
        digest=digest_of(contents),
        webhooks=webhooks,
        next_risk=next_risk,
    )


def _risk(folder: Path, table: Table, content: dict[str, object]) -> RiskPolicy:
    """The risk policy; the file is looked at once more for the lines of its conditions, and not if it is unreadable."""
    return read_risk(table, (folder / _RISK).read_text("utf-8") if content else "")


def _next_risk(folder: Path, found: list[str]) -> RiskPolicy | None:
    """What the folder `next` holds, None without one; its mistakes are told as the others are."""
    if not folder.is_dir():
        return None
    mistaken = [
        f"{path.name}: unknown file; allowed: {_RISK}"
        for path in sorted(folder.glob("*.toml"))
        if path.name != _RISK
    ]
    table, content = read_file(folder / _RISK, mistaken)
    risk = _risk(folder, table, content)
    found += [f"{NEXT}/{mistake}" for mistake in mistaken]
    return None if mistaken else replace(risk, digest=digest_of({_RISK: content}))


def _retention(table: Table) -> RetentionPolicy:
    retention = RetentionPolicy(years=table.integer("years"))
    table.close()
    return retention


def _analytics(table: Table) -> AnalyticsPolicy:
    analytics = AnalyticsPolicy(
        minute_days=table.integer("minute_days"),
        hour_days=table.integer("hour_days"),
        day_days=table.integer("day_days"),
        delivery_days=table.integer("delivery_days"),
    )
    table.close()
    if table.is_sound("minute_days", "hour_days", "day_days") and not (
        analytics.minute_days <= analytics.hour_days <= analytics.day_days
    ):
        table.note("hour_days", "is out of order; allowed: at least minute_days, at most day_days")
    return analytics


def _authenticators(table: Table) -> AuthenticatorPolicy:
    totp, hotp, ocra, pin, device_key = (
        table.table(name) for name in ("totp", "hotp", "ocra", "pin", "device_key")
    )
    authenticators = AuthenticatorPolicy(
        issuer_name=table.bounded_text("issuer_name", "issuer_name"),
        most_of_a_payer=table.integer("most_of_a_payer"),
        pending_seconds=table.integer("pending_seconds"),
        totp=GeneratorPolicy(
            digits=totp.integer("digits"),
            period_seconds=totp.integer("period_seconds"),
            look_back_steps=totp.integer("look_back_steps"),
        ),
        hotp=GeneratorPolicy(
            digits=hotp.integer("digits"), look_ahead_counters=hotp.integer("look_ahead_counters")
        ),
        ocra=OcraPolicy(
            look_ahead_counters=ocra.integer("look_ahead_counters"),
            look_back_steps=ocra.integer("look_back_steps"),
        ),
        pin_shortest=pin.integer("shortest"),
        device_key=DeviceKeyPolicy(
            most_unanswered=device_key.integer("most_unanswered"),
            counted_seconds=device_key.integer("counted_seconds"),
        ),
    )
    for one in (totp, hotp, ocra, pin, device_key, table):
        one.close()
    return authenticators


def _unknown_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.toml") if path.name not in FILES)


def _code(table: Table) -> CodePolicy:
    code = CodePolicy(
        digits=table.integer("digits"),
        lifetime_seconds=table.integer("lifetime_seconds"),
        shortest_lifetime_seconds=table.integer("shortest_lifetime_seconds"),
        longest_lifetime_seconds=table.integer("longest_lifetime_seconds"),
    )
    table.close()
    sound = table.is_sound("lifetime_seconds", "shortest_lifetime_seconds", "longest_lifetime_seconds")
    if sound and not code.allows_lifetime(code.lifetime_seconds):
        allowed = f"{code.shortest_lifetime_seconds} to {code.longest_lifetime_seconds}"
        named = "shortest_lifetime_seconds to longest_lifetime_seconds"
        table.note("lifetime_seconds", f"{code.lifetime_seconds} is outside {named}; allowed: {allowed}")
    return code


def _lockout(table: Table) -> LockoutPolicy:
    lockout = LockoutPolicy(
        most_failures=table.integer("most_failures"),
        window_seconds=table.integer("window_seconds"),
        block_seconds=table.integers("block_seconds"),
    )
    table.close()
    if table.is_sound("block_seconds") and list(lockout.block_seconds) != sorted(lockout.block_seconds):
        table.note(
            "block_seconds", "shrinks; allowed: each block at least as long as the one before (RTS Art. 4(4))"
        )
    return lockout


def _ladders(table: Table, code: CodePolicy | None) -> tuple[tuple[Ladder, ...], ResendPolicy]:
    resend = _resend(table.table("resend"))
    ladders = tuple(_ladder(table.table(purpose, pattern="*"), purpose, code) for purpose in Purpose)
    table.close()
    return ladders, resend


def _resend(table: Table) -> ResendPolicy:
    resend = ResendPolicy(
        first_seconds=table.integer("first_seconds"),
        factor=table.integer("factor"),
        most_seconds=table.integer("most_seconds"),
    )
    table.close()
    if table.is_sound("first_seconds", "most_seconds") and resend.first_seconds > resend.most_seconds:
        table.note("most_seconds", f"is less than first_seconds; allowed: {resend.first_seconds} or more")
    return resend


def _ladder(table: Table, purpose: Purpose, code: CodePolicy | None) -> Ladder:
    vouched = table.flag("phone_vouched_by_client")
    step_on = table.choices("step_on", StepReason)
    rows = table.tables("steps")
    steps = tuple(_step(row, is_last=row is rows[-1]) for row in rows)
    table.close()
    for at, (row, step) in enumerate(zip(rows, steps, strict=True)):
        if row.is_sound("channel") and step.channel in (earlier.channel for earlier in steps[:at]):
            row.note("channel", f'"{step.channel}" stands in this ladder twice; allowed: every channel once')
    waits = sum(step.timeout_seconds or 0 for step in steps)
    if code and all(row.is_sound("timeout_seconds") for row in rows) and waits >= code.lifetime_seconds:
        table.note(
            "steps",
            f"the timeouts add up to {waits} seconds, and the code would be void before the last channel; "
            f"allowed: less than lifetime_seconds ({code.lifetime_seconds}) in code.toml",
        )
    return Ladder(purpose, steps, vouched, step_on)


def _step(table: Table, *, is_last: bool) -> LadderStep:
    channel = table.choice("channel", Channel, REFUSED_CHANNELS, among=_CODE_CHANNELS)
    until = table.choice("until", Until)
    timeout_seconds = None
    if not is_last:
        timeout_seconds = table.integer("timeout_seconds")
    elif table.holds("timeout_seconds"):
        table.integer("timeout_seconds")
        table.note(
            "timeout_seconds", "stands at the last channel, which nothing follows; allowed: no timeout here"
        )
    table.close()
    return LadderStep(channel, timeout_seconds, until)
