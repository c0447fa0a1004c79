# ruff: noqa: E501 - lines of a page, which are as long as they are
"""Writes docs/capacity.md from `loadtests/capacity.toml`: `python -m loadtests.capacity`.

Everything on the page is a measured figure, an assumption that is called one, or arithmetic on both.
"""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_name("capacity.toml")
PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
_YEAR_SECONDS = 365 * 86_400
_HOURS_OF_A_MONTH = 730
_GB = 1e9
_TABLES_OF_EVENTS = ("audit_events", "audit_leaves", "log_tiles")
_TABLES_OF_CHALLENGES = ("audit_private", "challenges", "acceptances")
_TABLES_OF_ANALYTICS = ("analytics_deliveries", "analytics_stories")


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: messages a year, a second on average and at the peak, and for how many years they are kept."""

    per_year: float
    per_second: float
    peak: float
    years: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A part that cannot be made wider by more replicas: how many messages a second it takes."""

    name: str
    per_second: float
    how: str
    lifted_by: str


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(tomllib.loads(FIGURES.read_text("utf-8"))), "utf-8")
    print(PAGE)


def page(figures: dict[str, Any]) -> str:
    """The page as it follows from the figures."""
    asked, measured, assumed = figures["load"], figures["measured"], figures["assumed"]
    load = Load(
        asked["messages_per_year"],
        asked["messages_per_year"] / _YEAR_SECONDS,
        asked["peak_per_second"],
        asked["years_kept"],
    )
    limits = sorted(_limits(measured, assumed), key=lambda one: one.per_second)
    cells = math.ceil(load.peak / limits[0].per_second)
    return "\n".join(
        (
            *_head(load, measured),
            *_measured(measured),
            *_limit_table(limits, load, cells),
            *_parts(load, measured, assumed, cells),
            *_growth(measured),
        )
    )


def _limits(measured: dict[str, Any], assumed: dict[str, Any]) -> list[Limit]:
    events, busy = measured["story"]["events_per_message"], assumed["most_busy"]
    return [
        Limit(
            "PostgreSQL primary: one stream of group commits",
            measured["growth"]["events_per_second"] / events * busy,
            f"{measured['growth']['events_per_second']:,.0f} events/s written with all that belongs to them",
            "faster disks, then more cells: the service does not spread one record over several primaries",
        ),
        Limit(
            "Leader of the log: one process numbers the events",
            measured["growth"]["sequenced_per_second"] / events * busy,
            f"{measured['growth']['sequenced_per_second']:,.0f} events/s put in order with nothing else on that PostgreSQL",
            "more cells, each with a log of its own",
        ),
        Limit(
            "One Valkey: one thread runs the scripts",
            1e6 / measured["cpu_us"]["valkey"] * busy,
            f"{measured['cpu_us']['valkey']:,.0f} µs of CPU a message",
            "Redis Cluster: 64 partitions spread over its primaries",
        ),
    ]


def _head(load: Load, measured: dict[str, Any]) -> tuple[str, ...]:
    return (
        "# Capacity",
        "",
        "Written by `python -m loadtests.capacity` from `loadtests/capacity.toml`; do not edit it here. Every figure is measured,",
        "called **assumed**, or arithmetic on both. Put your own in and write the page again.",
        "",
        f"Asked for: {load.per_year / 1e9:.0f} billion messages a year, so {load.per_second:,.0f} a second on average and"
        f" {load.peak:,.0f} at the peak, kept for {load.years} years.",
        f"A message is one challenge by SMS that is delivered and approved: {measured['story']['events_per_message']} events.",
        "",
    )


def _measured(measured: dict[str, Any]) -> tuple[str, ...]:
    growth, cpu = measured["growth"], measured["cpu_us"]
    event, challenge = _bytes(measured)
    per_message = event * measured["story"]["events_per_message"] + challenge
    return (
        "## Measured",
        "",
        f"{growth['measured_on']}, {growth['machine']}; others worked on it for a part of the time, so rates are what such a"
        " machine gives, not what yours will.",
        "",
        "| what | figure | source |",
        "|---|---|---|",
        f"| events filled | {growth['events']:,.0f}, with ids in the order of their time (decision 34) | `loadtests/growth.py` |",
        f"| a message in PostgreSQL, tables and indexes | {per_message:,.0f} bytes: {event:,.0f} for each event, {challenge:,.0f} for the challenge | the same |",
        f"| write-ahead log for each event | {growth['wal_bytes_per_event']:,.0f} bytes, whole pages after each checkpoint included | the same |",
        f"| events written, one stream | {growth['events_per_second']:,.0f}/s | the same |",
        f"| events put in order | {growth['sequenced_per_second']:,.0f}/s; {measured['alone']['sequenced_per_second']:,.0f}/s with the machine to itself | the same; {measured['alone']['source']} |",
        f"| events exported | {growth['exported_per_second']:,.0f}/s | the same |",
        f"| events taken out when their time is over | {growth['pruned_per_second']:,.0f}/s | the same |",
        f"| a challenge in Valkey, of a payer who is new | {measured['valkey']['bytes_per_challenge']:,.0f} bytes | {measured['valkey']['source']} |",
        f"| an answer kept for its `Idempotency-Key` | {measured['valkey']['bytes_per_kept_answer']:,.0f} bytes for 24 hours | the same |",
        *(f"| CPU of {part} for each message | {cpu[part]:,.0f} µs | {cpu['source']} |" for part in _PARTS),
        "",
    )


_PARTS = ("api", "worker", "valkey", "postgres")


def _bytes(measured: dict[str, Any]) -> tuple[float, float]:
    """Bytes of an event and of a challenge, with their indexes."""
    tables, indexes = measured["growth"]["bytes"], measured["growth"]["index_bytes"]
    event = sum(tables[name] + indexes[name] for name in _TABLES_OF_EVENTS)
    return event, sum(tables[name] + indexes[name] for name in _TABLES_OF_CHALLENGES)


def _analytics_bytes(measured: dict[str, Any]) -> float:
    """Bytes of what analytics keeps of a message for some days."""
    tables, indexes = measured["growth"]["bytes"], measured["growth"]["index_bytes"]
    return float(sum(tables[name] + indexes[name] for name in _TABLES_OF_ANALYTICS))


def _shares(measured: dict[str, Any]) -> str:
    """Which tables take how many bytes of a message, the largest first."""
    growth, events = measured["growth"], measured["story"]["events_per_message"]
    shares = {
        name: (growth["bytes"][name] + growth["index_bytes"][name])
        * (events if name in _TABLES_OF_EVENTS else 1)
        for name in (*_TABLES_OF_EVENTS, *_TABLES_OF_CHALLENGES)
    }
    ordered = sorted(shares, key=lambda name: -shares[name])
    return ", ".join(f"{shares[name]:,.0f} bytes are `{name}`" for name in ordered)


def _limit_table(limits: list[Limit], load: Load, cells: int) -> tuple[str, ...]:
    return (
        "## What limits it first, and next",
        "",
        "Apis and workers are added until there are enough. These cannot be, within one deployment:",
        "",
        "| limit | messages/s | because | lifted by |",
        "|---|---|---|---|",
        *(f"| {one.name} | {one.per_second:,.0f} | {one.how} | {one.lifted_by} |" for one in limits),
        "",
        f"The peak of {load.peak:,.0f} a second needs **{cells} cells** on machines like the one that was measured. A cell is a"
        " deployment of its own: stores, roles, log. Clients or payers are given to cells at the bank's door; the service has no"
        " such door.",
        "",
    )


def _parts(load: Load, measured: dict[str, Any], assumed: dict[str, Any], cells: int) -> tuple[str, ...]:
    cpu, busy, valkey = measured["cpu_us"], assumed["most_busy"], measured["valkey"]
    cores = {part: math.ceil(load.peak * cpu[part] / 1e6 / busy) for part in _PARTS}
    event, challenge = _bytes(measured)
    events = measured["story"]["events_per_message"]
    recent = load.per_second * 86_400 * assumed["analytics_days"] * _analytics_bytes(measured) / _GB
    disk = load.per_year * load.years * (event * events + challenge) / _GB + recent
    wal = load.per_second * events * measured["growth"]["wal_bytes_per_event"] * 86_400 / _GB
    live = load.peak * assumed["challenge_seconds"] * valkey["bytes_per_challenge"] / _GB
    kept = load.per_second * 86_400 * valkey["bytes_per_kept_answer"] / _GB
    memory = {
        "api": cores["api"] * measured["memory_mib"]["api"] * 1.048576e6 / _GB,
        "worker": cores["worker"] * measured["memory_mib"]["worker"] * 1.048576e6 / _GB,
        "valkey": (live + kept) * assumed["copies_of_valkey"],
        "postgres": cells * assumed["copies_of_postgres"] * assumed["postgres_memory_gb"],
    }
    disks = {"postgres": disk * assumed["copies_of_postgres"]}
    copies = {"valkey": assumed["copies_of_valkey"], "postgres": assumed["copies_of_postgres"]}
    rows = []
    for part in _PARTS:
        many = cores[part] * copies.get(part, 1)
        price = (
            many * assumed["price_core_hour"] + memory[part] * assumed["price_gb_hour"]
        ) * _HOURS_OF_A_MONTH + disks.get(part, 0) * assumed["price_disk_gb_month"]
        rows.append(
            f"| {part} | {many:,} | {memory[part]:,.0f} GB | {disks.get(part, 0) / 1000:,.0f} TB | {price:,.0f} |"
        )
    network = load.peak * (
        assumed["http_bytes_per_message"] + events * measured["growth"]["wal_bytes_per_event"]
    )
    return (
        "## Machines",
        "",
        f"At the peak, {busy:.0%} busy at most (**assumed**). Prices are **assumed**, in a currency of yours: {assumed['price_core_hour']}"
        f" for a core's hour, {assumed['price_gb_hour']} for a GB of memory's, {assumed['price_disk_gb_month']} for a GB of disk in a"
        f" month. At {assumed['price_message']} a message, also **assumed**, the messages of a month come to {load.per_year / 12 * assumed['price_message']:,.0f}.",
        "",
        "| part | cores | memory | disk after all years | price of a month |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"- **Valkey** holds {live:,.0f} GB of challenges (an hour at the peak, {assumed['challenge_seconds']} s, **assumed** to last so long) and {kept:,.0f} GB of"
        f" answers for their keys (a day on average, every issue under a key, **assumed**), {assumed['copies_of_valkey']} times (primary and replica).",
        f"- **PostgreSQL** writes {wal:,.0f} GB of write-ahead log a day on average, which the standby and the archive get too. Bigger"
        " `max_wal_size` makes it less: whole pages are written once after each checkpoint.",
        f"- **Network** at the peak: {network * 8 / 1e9:,.1f} Gbit/s, of which the standby's part is {load.peak * events * measured['growth']['wal_bytes_per_event'] * 8 / 1e9:,.1f}; HTTP with {assumed['http_bytes_per_message']:,} bytes a message"
        " is **assumed**.",
        f"- **Disk** of one copy: {disk / 1000:,.0f} TB; of each message {_shares(measured)}. What analytics keeps of single deliveries, {_analytics_bytes(measured):,.0f} bytes a message for {assumed['analytics_days']} days (`analytics.toml`), is {recent / 1000:,.1f} TB of it.",
        "",
    )


def _growth(measured: dict[str, Any]) -> tuple[str, ...]:
    growth = measured["growth"]
    look, copies, away = growth["look_up_ms"], growth["copy_per_second"], growth["take_away_us_per_event"]
    queries = {**growth["query_ms"]}
    return (
        "## When it grows",
        "",
        f"Auditors' questions among {growth['events']:,.0f} events, median and worst of 40:",
        "",
        "| question | median ms | worst ms |",
        "|---|---|---|",
        *(f"| {name} | {ms:,.1f} | {growth['query_ms_worst'][name]:,.1f} |" for name, ms in queries.items()),
        *(f"| {name} | not answered in 800 ms | |" for name in growth.get("query_failed", {})),
        *(("", growth["query_note"]) if "query_note" in growth else ()),
        "",
        "One table against sixty partitions by the month of `at`, the same rows, in one run (decision 26; by that of the id: decision 34):",
        "",
        "| | one table | sixty partitions | ratio |",
        "|---|---|---|---|",
        _row("events copied a second", copies["one"], copies["parts"]),
        *(
            _row(f"look-up {name.replace('_', ' ')}, ms", look["one"][name], look["parts"][name])
            for name in look["one"]
        ),
        _row("taking a month away, µs an event", away["delete"], away["drop"]),
        _row(
            "the same, bytes of write-ahead log an event",
            growth["take_away_wal_bytes_per_event"]["delete"],
            growth["take_away_wal_bytes_per_event"]["drop"],
        ),
        "",
    )


def _row(name: str, one: float, parts: float) -> str:
    return f"| {name} | {_number(one)} | {_number(parts)} | {_number(parts / one)} |"


def _number(value: float) -> str:
    """Whole from a hundred on, else with two digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


if __name__ == "__main__":
    main()
