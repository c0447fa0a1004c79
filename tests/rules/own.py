"""What the rules beside this file find, and what they leave alone. Nothing here is ever run."""
# ruff: noqa
# mypy: ignore-errors

import asyncio
import contextlib
import hmac
import os
import ssl
import subprocess
import time
from datetime import UTC, datetime


_ONE = "SELECT name FROM a WHERE name = $1"


async def statements(connection, name):
    # ruleid: sql-is-fixed-text
    await connection.execute(f"DELETE FROM {name}")
    # ruleid: sql-is-fixed-text
    await connection.fetchval(f"SELECT {name} FROM a")
    # ruleid: sql-is-fixed-text
    await connection.execute("DELETE FROM %s" % name)
    # ok: sql-is-fixed-text
    await connection.execute("DELETE FROM a WHERE name = $1", name)
    # ok: sql-is-fixed-text
    await connection.fetchrow(f"{_ONE} FOR UPDATE", name)


def comparisons(secret, given):
    # ruleid: a-secret-is-compared-in-constant-time
    if secret.reveal() == given:
        return True
    # ok: a-secret-is-compared-in-constant-time
    return hmac.compare_digest(secret.reveal(), given)


def words(secret, log_event):
    # ruleid: a-secret-is-in-no-log-and-no-error
    log_event("client.created", key=secret.reveal())
    # ok: a-secret-is-in-no-log-and-no-error
    log_event("client.created", key=secret)
    # ruleid: a-secret-is-in-no-log-and-no-error
    raise ValueError(f"{secret.reveal()} is no key")


def peers(client, context):
    # ruleid: tls-is-verified
    client.get("https://a.example", verify=False)
    # ruleid: tls-is-verified
    context.check_hostname = False
    # ruleid: tls-is-verified
    context.verify_mode = ssl.CERT_NONE
    # ok: tls-is-verified
    client.get("https://a.example", verify=context)


def times():
    # ruleid: the-stores-tell-the-time
    time.time()
    # ruleid: the-stores-tell-the-time
    datetime.now()
    # ok: the-stores-tell-the-time
    datetime.now(UTC)


def faults(work):
    # ruleid: a-fault-is-not-swallowed
    try:
        work()
    except Exception:
        pass
    # ruleid: a-fault-is-not-swallowed
    with contextlib.suppress(Exception):
        work()
    # ok: a-fault-is-not-swallowed
    with contextlib.suppress(KeyError):
        work()


def processes(command):
    # ruleid: nothing-is-run-by-a-shell
    subprocess.run(command, shell=True)
    # ruleid: nothing-is-run-by-a-shell
    os.system(command)
    # ruleid: nothing-is-run-by-a-shell
    asyncio.create_subprocess_shell(command)
    # ok: nothing-is-run-by-a-shell
    subprocess.run([command])
