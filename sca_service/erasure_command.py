"""`sca audit erase`, `erasures` and `confirm-erasure`: two operators destroy what is personal about a payer."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from sca_service.audit.private.postgres_store import ErasureStore
from sca_service.challenges.erasure import Eraser
from sca_service.core import open_core
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.settings import Settings, read_settings

Result = TypeVar("Result")
Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]


def erase(*, client: str, psu: str = "", pseudonym: str = "", reason: str, config: Config) -> None:
    """Ask that a payer be erased; another operator confirms it. Nothing is destroyed yet.

    The operator is known by an API key with the scope `admin`: SCA_OPERATOR_KEY, or asked for. Name the payer by one of
    `--psu` and `--pseudonym`.

    Parameters
    ----------
    client
        Whose payer.
    psu
        The client's own reference of the payer.
    pseudonym
        What the log calls the payer: `psu` of a `payer.erased` that a restore has undone.
    reason
        Why, as it will stand in the log: no name, no number.
    """
    if bool(psu) is bool(pseudonym):
        raise ConfigurationError("name the payer by one of --psu and --pseudonym")
    settings = read_settings(config)
    operator = _operator(settings)

    async def ask(eraser: Eraser) -> str:
        if pseudonym:
            return await eraser.repeat(operator, client=client, psu=pseudonym, reason=reason)
        return await eraser.request(operator, client=client, psu_id=psu, reason=reason)

    print(_with_eraser(settings, ask))


def erasures(*, config: Config) -> None:
    """List the erasures that wait for a second operator."""
    for row in _with_eraser(read_settings(config), lambda eraser: eraser.pending()):
        print(f"{row.id}\t{row.requested_at:%Y-%m-%d %H:%M}\t{row.client}\t{row.requested_by}\t{row.reason}")


def confirm_erasure(erasure: str, *, config: Config) -> None:
    """Confirm an erasure that another operator asked for: the payer's key is destroyed, for good. Says how much went.

    Parameters
    ----------
    erasure
        The id that `sca audit erase` printed.
    """
    settings = read_settings(config)
    operator = _operator(settings)
    gone = _with_eraser(settings, lambda eraser: eraser.confirm(operator, erasure))
    print(
        f"Destroyed: keys {gone.keys}, sealed values {gone.values}, devices {gone.devices},"
        f" authenticators {gone.authenticators}. Challenges left without personal values: {gone.challenges}."
        " Every proof still holds."
    )


def _operator(settings: Settings) -> Secret[str]:
    return settings.operator_key or Secret(getpass.getpass("The operator's API key: "))


def _with_eraser(settings: Settings, act: Callable[[Eraser], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_core(settings) as core:
            return await act(
                Eraser(
                    erasures=ErasureStore(core.postgres),
                    challenges=core.store,
                    memory=core.risk_store(),
                    lines=PumpingStore(core.redis, core.policy.pumping),
                    keyring=settings.keyring,
                    clock=core.clock,
                )
            )

    return asyncio.run(run())
