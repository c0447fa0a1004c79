"""The audit log as a file, over HTTP: whole, in order, filtered as asked or refused, and on record before it leaves."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from sca_service.challenges.model import ChallengeId
from tests import warm
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, unique_psu, wrong
from tests.service.situations import Challenge
from tests.storeroom import eventually


async def exported(auditor: Bank, **asked: str) -> httpx.Response:
    """An export; JSON Lines unless said otherwise."""
    return await auditor.http.get("/v1/audit/export", params={"format": "jsonl"} | asked)


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The lines of an export as JSON Lines."""
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


async def answered(bank: Bank, auditor: Bank) -> tuple[Challenge, str]:
    """A challenge with two answers all of whose events have an index, and its payer's reference."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await bank.settled(challenge["id"])
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)

    async def is_sequenced() -> bool:
        events = (await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"]})).json()
        return len(events["data"]) == 6 and all(one["index"] is not None for one in events["data"])

    await eventually(is_sequenced, seconds=PATIENCE_SECONDS)
    return challenge, psu["id"]


async def test_an_export_has_every_event_in_order(bank: Bank, auditor: Bank) -> None:
    """Indexes follow each other without a gap, and the challenge's leaves are those that the list shows."""
    challenge, _ = await answered(bank, auditor)
    response = await exported(auditor)
    lines = lines_of(response)
    assert [line["index"] for line in lines] == list(range(len(lines)))
    assert response.headers["content-type"] == "application/jsonl"
    name = f"audit-log-{len(lines)}.jsonl"
    assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert response.headers["cache-control"] == "no-store"

    listed = await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"]})
    found = [line for line in lines if line["leaf"].get("challenge") == challenge["id"]]
    assert [line["index"] for line in found] == [one["index"] for one in listed.json()["data"]]
    assert [line["leaf"]["id"] for line in found] == [one["id"] for one in listed.json()["data"]]


async def test_every_filter_narrows(bank: Bank, auditor: Bank) -> None:
    """Challenge, payer by reference and by pseudonym, type, client and time, alone and together."""
    challenge, psu = await answered(bank, auditor)
    of_challenge = lines_of(await exported(auditor, challenge=challenge["id"]))
    assert len(of_challenge) == 6
    assert lines_of(await exported(auditor, psu=psu)) == of_challenge
    pseudonym = of_challenge[0]["leaf"]["psu"]
    by_pseudonym = lines_of(await exported(auditor, psu=pseudonym, challenge=challenge["id"]))
    assert by_pseudonym == of_challenge

    answers = lines_of(await exported(auditor, type="challenge.answered", challenge=challenge["id"]))
    assert [line["leaf"]["outcome"] for line in answers] == ["incorrect", "approved"]
    both = {"challenge": challenge["id"], "client": "other-bank"}
    assert lines_of(await exported(auditor, **both)) == []
    of_type = lines_of(await exported(auditor, type="challenge.answered", client="bank"))
    assert {line["leaf"]["type"] for line in of_type} == {"challenge.answered"}
    assert [line for line in of_type if line["leaf"]["challenge"] == challenge["id"]] == answers


async def test_times_bound_an_export(bank: Bank, auditor: Bank) -> None:
    """`from` counts, `to` does not, whatever the offset it is written in."""
    challenge, _ = await answered(bank, auditor)
    listed = await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"]})
    times = [one["at"] for one in listed.json()["data"]]
    within = {"challenge": challenge["id"], "from": times[0], "to": times[-1]}
    found = lines_of(await exported(auditor, **within))
    assert len(found) == sum(at < times[-1] for at in times)
    assert lines_of(
        await exported(auditor, **within | {"from": times[-1], "to": "2099-01-01T00:00:00+02:00"})
    )


async def test_csv_and_parquet_hold_the_same(bank: Bank, auditor: Bank) -> None:
    """Three formats of one question have the same rows."""
    challenge, _ = await answered(bank, auditor)
    lines = lines_of(await exported(auditor, challenge=challenge["id"]))
    in_csv = await exported(auditor, challenge=challenge["id"], format="csv")
    assert in_csv.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(in_csv.text, newline="")))
    assert [(int(row["index"]), json.loads(row["leaf"])) for row in rows] == [
        (line["index"], line["leaf"]) for line in lines
    ]
    parquet = await exported(auditor, challenge=challenge["id"], format="parquet")
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    table = pyarrow.parquet.read_table(io.BytesIO(parquet.content))
    assert table.column("leaf").to_pylist() == [row["leaf"] for row in rows]
    assert table.column("index").to_pylist() == [line["index"] for line in lines]


UNKNOWN_CHALLENGE = "chl_" + "0" * 38


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"format": "xlsx"}, "/format"),
        ({"colour": "blue"}, "/colour"),
        ({"psu_id": "cust_1"}, "/psu_id"),
        ({"limit": "10"}, "/limit"),
        ({"type": "challenge.imagined"}, "/type"),
        ({"client": "nobody"}, "/client"),
        ({"challenge": UNKNOWN_CHALLENGE}, "/challenge"),
        ({"psu": "cust_never_seen"}, "/psu"),
        ({"psu": ""}, "/psu"),
        ({"from": "yesterday"}, "/from"),
        ({"from": "2026-11-22T10:15:00"}, "/from"),
        ({"from": "2026-11-22T10:15:00Z", "to": "2026-11-22T10:15:00Z"}, "/to"),
    ],
    ids=lambda asked: "-".join(asked) if isinstance(asked, dict) else None,
)
async def test_what_is_not_known_is_refused(auditor: Bank, asked: dict[str, str], pointer: str) -> None:
    """No filter is ignored, and none asks in vain: the problem names it, and nothing goes on record."""
    response = await exported(auditor, **asked)
    assert response.status_code == 422, response.text
    assert [one["pointer"] for one in response.json()["errors"]] == [pointer]


async def test_a_format_must_be_named(auditor: Bank) -> None:
    """There is no format by default."""
    response = await auditor.http.get("/v1/audit/export")
    assert response.status_code == 422
    assert response.json()["code"] == "validation-error"


async def test_filters_are_given_once(auditor: Bank) -> None:
    """Of two values neither would be the one that is meant."""
    response = await auditor.http.get("/v1/audit/export?format=csv&client=bank&client=other-bank")
    assert response.status_code == 422


async def test_an_export_is_an_event(bank: Bank, auditor: Bank) -> None:
    """Who, which request, what was asked for: the payer by pseudonym, never by the bank's reference."""
    challenge, psu = await answered(bank, auditor)
    asked = {"psu": psu, "type": "challenge.answered", "from": "2020-01-01T00:00:00Z", "format": "csv"}
    response = await exported(auditor, **asked)
    assert response.status_code == 200
    listed = await auditor.http.get("/v1/audit/events", params={"type": "audit.exported", "limit": 200})
    by_request = {one["request"]: one for one in listed.json()["data"]}
    event = by_request[response.headers["x-request-id"]]
    pseudonym = event["psu"]
    assert (event["actor"], event["client"], event["format"]) == ("client:auditor", "auditor", "csv")
    assert event["filters"] == {
        "psu": [pseudonym],
        "type": "challenge.answered",
        "from": "2020-01-01T00:00:00Z",
    }
    assert psu not in json.dumps(event)
    issued = await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"], "limit": 1})
    assert issued.json()["data"][0]["psu"] == pseudonym
    assert ChallengeId.parse(challenge["id"])
    assert event["size"] == int(response.headers["content-disposition"].split("-")[-1].split(".")[0])


async def test_a_refused_export_is_no_event(auditor: Bank) -> None:
    """What was not given out is not on record as given out."""
    refused = await exported(auditor, type="challenge.imagined")
    listed = await auditor.http.get("/v1/audit/events", params={"type": "audit.exported", "limit": 200})
    assert refused.headers["x-request-id"] not in {one["request"] for one in listed.json()["data"]}


async def test_the_command_writes_the_same_file(
    service: Deployment, bank: Bank, auditor: Bank, tmp_path: Path
) -> None:
    """`sca audit export` with the same filters, and its own event."""
    challenge, _ = await answered(bank, auditor)
    path = tmp_path / "log.jsonl"
    command = ["sca_service", "audit", "export"]
    options = ["--config", str(service.config(service.api.port)), "--format", "jsonl"]
    done = await run(*command, *options, "--challenge", challenge["id"], "--output", str(path))
    assert done == (0, "", "")
    over_http = await exported(auditor, challenge=challenge["id"])
    assert path.read_bytes() == over_http.content
    assert path.stat().st_mode & 0o077 == 0
    code, _, told = await run(*command, *options, "--type", "challenge.imagined")
    assert (code, told) == (1, "sca: type is not on record\n")
    code, out, _ = await run(*command, *options, "--challenge", challenge["id"])
    assert (code, out.encode()) == (0, over_http.content)
    code, _, told = await run(*command, *options, "--output", str(path))
    assert code == 1
    assert "exists" in told


async def run(*command: str) -> tuple[int, str, str]:
    """Run a command to its end: exit status, what it printed, and what it complained of."""
    done = await asyncio.to_thread(warm.run, *command)
    return done.returncode, done.stdout, done.stderr
