"""Reads of alerts.toml what holds for every notice."""

import re
import zoneinfo
from collections.abc import Collection, Mapping
from datetime import time
from types import MappingProxyType

from sca_service.policy.notice_rules import ConsentRule, LinkRule, NoticeRules, QuietHours, Topic
from sca_service.policy.notices import LINE_REPLACED, is_notice_name
from sca_service.policy.reader import Table
from sca_service.policy.replies import LONGEST_REPLY, Meaning, bare_word

_MOST_DAYS_IN_WAIT = 7
"""How long an alert may wait to be sent once its time has come (`expires_in_s`)."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)+{_LABEL}", re.ASCII)


def read_notice_rules(
    table: Table, *, notices: Collection[str] | None, replies: Mapping[str, Meaning]
) -> NoticeRules:
    """What the table says; notes at it what is wrong.

    `notices` are the names of those that the texts have, None when there are no texts;
    `replies` the words that mean something already.
    """
    zone = table.text("default_time_zone", "a time zone such as Europe/Berlin")
    if table.is_sound("default_time_zone") and not _is_time_zone(zone):
        table.note("default_time_zone", "is no time zone of this machine; allowed: one such as Europe/Berlin")
    links = table.table("links")
    rules = NoticeRules(
        keep_days=table.integer("keep_days"),
        most_per_second=table.integer("most_per_second"),
        most_days_ahead=table.integer("most_days_ahead"),
        default_time_zone=zone,
        quiet_hours=_quiet_hours(table.table("quiet_hours")),
        links=_links(links),
        topics=_topics(table, notices, replies),
    )
    least = rules.most_days_ahead + _MOST_DAYS_IN_WAIT + rules.links.keep_days
    are_sound = table.is_sound("keep_days", "most_days_ahead") and links.is_sound("keep_days")
    if are_sound and rules.keep_days < least:
        table.note(
            "keep_days",
            f"is less than an alert lives, counted from its order; allowed: {least} and more, or a smaller "
            "most_days_ahead or links.keep_days",
        )
    table.close()
    return rules


def _is_time_zone(name: str) -> bool:
    """Whether this machine knows it; to list them all would take longer than the whole policy."""
    try:
        return bool(zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # no such file, or a folder of zones
        return False


def _quiet_hours(table: Table) -> QuietHours:
    hours = QuietHours(
        _time_of_day(table, "begins"), _time_of_day(table, "ends"), in_sandbox=table.flag("in_sandbox")
    )
    table.close()
    return hours


def _time_of_day(table: Table, key: str) -> time:
    text = table.text(key, "a time of the day such as 21:00")
    found = _TIME.fullmatch(text)
    if found:
        return time(int(found[1]), int(found[2]))
    if table.is_sound(key):
        table.note(key, "is no time of the day; allowed: 00:00 to 23:59")
    return time()


def _links(table: Table) -> LinkRule:
    rule = LinkRule(hosts=table.texts("hosts"), keep_days=table.integer("keep_days"))
    table.close()
    for at, host in enumerate(rule.hosts, start=1):
        if table.is_sound("hosts") and not _HOST.fullmatch(host):
            table.note(
                f"hosts[{at}]",
                "is no host; allowed: a name in lower case such as bank.example or *.bank.example",
            )
    return rule


def _topics(
    table: Table, notices: Collection[str] | None, replies: Mapping[str, Meaning]
) -> tuple[Topic, ...]:
    """The topics; a notice has one of them at most, and so has a word."""
    topics: list[Topic] = []
    for row in table.tables("topic", named_by="name"):
        name = row.text("name", "a name in small letters")
        if row.is_sound("name") and (not is_notice_name(name) or name in {topic.name for topic in topics}):
            row.note("name", "is no name for a topic; allowed: small letters, digits and _, each name once")
        consent = row.choice("consent", ConsentRule)
        heeds = row.flag("heeds_quiet_hours")
        held = _notices(row, notices, topics)
        words: dict[str, Meaning] = {}
        for key, meaning in (("stop_words", Meaning.OPT_OUT), ("start_words", Meaning.OPT_IN)):
            _add_words(
                row, key, meaning, words, taken={*replies, *(one for topic in topics for one in topic.words)}
            )
        row.close()
        topics.append(Topic(name, consent, heeds, frozenset(held), MappingProxyType(words)))
    return tuple(topics)


def _notices(row: Table, notices: Collection[str] | None, before: list[Topic]) -> tuple[str, ...]:
    names = row.texts("notices")
    for at, name in enumerate(names, start=1):
        if not row.is_sound("notices"):
            break
        if notices is not None and (name not in notices or name == LINE_REPLACED):
            allowed = ", ".join(sorted(set(notices) - {LINE_REPLACED})) or "none"
            row.note(f"notices[{at}]", f"is no notice of texts.toml that clients send; allowed: {allowed}")
        elif any(name in topic.notices for topic in before):
            row.note(f"notices[{at}]", "has another topic already; allowed: one for each notice")
    return names


def _add_words(
    row: Table, key: str, meaning: Meaning, words: dict[str, Meaning], *, taken: Collection[str]
) -> None:
    for at, text in enumerate(row.texts(key), start=1):
        word = bare_word(text)
        if not word or len(text) > LONGEST_REPLY:
            row.note(
                f"{key}[{at}]", f"is no word; allowed: letters and digits, at most {LONGEST_REPLY} characters"
            )
        elif word in taken or words.setdefault(word, meaning) is not meaning:
            row.note(
                f"{key}[{at}]", f'"{text}" means something else already; allowed: one meaning for a word'
            )
