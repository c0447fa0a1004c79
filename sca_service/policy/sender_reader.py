"""Reads senders.toml: which sender may be shown in which country, and with which registration."""

import re
from collections.abc import Mapping
from types import MappingProxyType

import phonenumbers

from sca_service.policy.reader import Table
from sca_service.policy.supply import SenderKind, SenderRule
from sca_service.policy.words import Channel, Occasion

ANYWHERE = "*"
_CHANNELS = (Channel.SMS, Channel.VOICE)
"""What shows a sender of ours. The others show what their supplier has verified."""

_IDS: Mapping[SenderKind, tuple[re.Pattern[str], str]] = {
    SenderKind.ALPHANUMERIC: (
        re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &._-]{1,11}", re.ASCII),
        "1 to 11 letters, digits, spaces or &._- with a letter (3GPP TS 23.040 section 9.1.2.5)",
    ),
    SenderKind.SHORT_CODE: (re.compile(r"[0-9]{3,8}", re.ASCII), "3 to 8 digits"),
    SenderKind.LONG_NUMBER: (re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII), "+ and 7 to 15 digits (E.164)"),
    SenderKind.TEN_DLC: (re.compile(r"\+1[2-9][0-9]{9}", re.ASCII), "+1 and ten digits"),
    SenderKind.DLT: (re.compile(r"[A-Za-z0-9]{3,11}", re.ASCII), "the header, 3 to 11 letters or digits"),
}
_HOME = {SenderKind.TEN_DLC: "US", SenderKind.DLT: "IN"}
_REGISTRATION = re.compile(r"[A-Za-z0-9-]{1,40}", re.ASCII)
_NEEDED = {SenderKind.TEN_DLC: ("brand", "campaign"), SenderKind.DLT: ("entity", "templates")}
_ONLY = {"brand": SenderKind.TEN_DLC, "campaign": SenderKind.TEN_DLC} | dict.fromkeys(
    ("entity", "templates"), SenderKind.DLT
)


def read_senders(
    table: Table, channels: Mapping[str, Channel | None]
) -> tuple[tuple[SenderRule, ...], frozenset[str]]:
    """The senders in the order of the file, and the countries that refuse any other.

    `channels` are the suppliers and what they carry, where that is known; none at all when nobody could read them.
    Notes at the table what is wrong.
    """
    must_register = table.texts("must_register", 'an array of ISO 3166 codes such as "IN"')
    for country in must_register:
        if country not in phonenumbers.SUPPORTED_REGIONS:
            table.note("must_register", f'"{country[:8]}" is no country; allowed: ISO 3166 codes')
    rows = table.tables("sender") if table.may_hold("sender") else ()
    senders = tuple(_sender(row, channels) for row in rows)
    table.close()
    return senders, frozenset(must_register)


def _sender(table: Table, channels: Mapping[str, Channel | None]) -> SenderRule:
    sender = SenderRule(
        country=table.text("country", 'an ISO 3166 code or "*"'),
        channel=table.choice("channel", Channel),
        id=table.text("id", "what the handset shows"),
        kind=table.choice("kind", SenderKind),
        suppliers=table.texts("suppliers") if table.may_hold("suppliers") else (),
        entity=_registration(table, "entity"),
        brand=_registration(table, "brand"),
        campaign=_registration(table, "campaign"),
        templates=_templates(table),
    )
    table.close()
    _note_place(table, sender)
    _note_registration(table, sender)
    if channels:
        _note_suppliers(table, sender, channels)
    return sender


def _note_suppliers(table: Table, sender: SenderRule, channels: Mapping[str, Channel | None]) -> None:
    for supplier in sender.suppliers:
        if supplier not in channels:
            table.note("suppliers", f'"{supplier[:40]}" is no supplier; allowed: sections of suppliers.toml')
        elif table.is_sound("channel") and channels[supplier] not in (None, sender.channel):
            table.note(
                "suppliers", f'"{supplier}" carries {channels[supplier]}; allowed: those of its channel'
            )


def _registration(table: Table, key: str) -> str:
    if not table.may_hold(key):
        return ""
    value = table.text(key)
    if table.is_sound(key) and not _REGISTRATION.fullmatch(value):
        table.note(key, "is no registration; allowed: 1 to 40 letters, digits and hyphens")
    return value


def _templates(table: Table) -> Mapping[Occasion, str]:
    if not table.may_hold("templates"):
        return MappingProxyType({})
    section = table.table("templates")
    found = {
        occasion: _registration(section, occasion) for occasion in Occasion if section.may_hold(occasion)
    }
    section.close()
    return MappingProxyType(found)


def _note_place(table: Table, sender: SenderRule) -> None:
    if table.is_sound("channel") and sender.channel not in _CHANNELS:
        table.note("channel", f"{sender.channel} shows what its supplier has verified; allowed: sms, voice")
    home = _HOME.get(sender.kind) if table.is_sound("kind") else None
    if not table.is_sound("country"):
        return
    if home and sender.country != home:
        table.note("country", f"{sender.kind} is a registration of {home}; allowed: {home}")
    elif sender.country != ANYWHERE and sender.country not in phonenumbers.SUPPORTED_REGIONS:
        table.note("country", 'is no country; allowed: an ISO 3166 code, or "*" for wherever none is needed')


def _note_registration(table: Table, sender: SenderRule) -> None:
    if not table.is_sound("kind"):
        return
    pattern, allowed = _IDS[sender.kind]
    if table.is_sound("id") and not pattern.fullmatch(sender.id):
        table.note("id", f"is no sender of kind {sender.kind}; allowed: {allowed}")
    for key in _NEEDED.get(sender.kind, ()):
        if table.is_sound(key) and not getattr(sender, key):
            table.note(key, f"missing; allowed: what was registered for a sender of kind {sender.kind}")
    for key, kind in _ONLY.items():
        if table.is_sound(key) and getattr(sender, key) and sender.kind is not kind:
            table.note(key, f"does not fit kind {sender.kind}; allowed: only with kind {kind}")
