"""What keeps authenticators, on a real PostgreSQL, for Hypothesis, which knows no event loop; and its clock."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sca_service.alerts.replaced_lines import ReplacedLines
from sca_service.authenticators.enrolment.contents import Contents
from sca_service.authenticators.enrolment.enrolment import Enrolment
from sca_service.authenticators.enrolment.postgres_store import EnrolmentStore
from sca_service.authenticators.enrolment.proofs import Proofs
from sca_service.authenticators.generators import Generators
from sca_service.authenticators.pin.check import Pins
from sca_service.authenticators.pin.hashing import Argon2Parameters, PinHasher
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.kernel.errors import AuthorisationRequired, InvalidInput, KeyAlreadyEnrolled, NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.postgres import connect_postgres
from sca_service.policy.load import load
from sca_service.settings import shipped_policies
from tests.properties.authenticator_model import (
    LOOK_AHEAD,
    LOOK_BACK,
    MOST_OF_A_PAYER,
    PENDING_SECONDS,
    PERIOD_SECONDS,
)

T = TypeVar("T")

DIGITS = 8
"""So that two codes are the same by chance once in thousands of runs of all this."""
START_MS = 1_800_000_000_000
"""Where the clock stands at first."""


class HandClock:
    """Stands still until it is moved. A class because it is a `Clock`."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.at_ms


class Desk:
    """Calls what is under test from outside an event loop. A class because it holds the loop and the pool."""

    def __init__(self, url: str, keyring: Keyring) -> None:
        self._runner = asyncio.Runner()
        self.pool = self.run(connect_postgres(url, most_connections=2))
        self.clock = HandClock()
        self.keyring = keyring
        self._hashers = [
            PinHasher(keyring.pin_pepper, Argon2Parameters(memory_kib=64, passes=passes)) for passes in (1, 2)
        ]
        store, shipped = AuthenticatorStore(self.pool), load(shipped_policies()).authenticators
        self.store = store
        policy = replace(
            shipped,
            most_of_a_payer=MOST_OF_A_PAYER,
            pending_seconds=PENDING_SECONDS,
            totp=replace(
                shipped.totp, digits=DIGITS, period_seconds=PERIOD_SECONDS, look_back_steps=LOOK_BACK
            ),
            hotp=replace(shipped.hotp, digits=DIGITS, look_ahead_counters=LOOK_AHEAD),
        )
        self.enrolment = Enrolment(
            policy=policy,
            keyring=keyring,
            authenticators=store,
            store=EnrolmentStore(self.pool, ReplacedLines(load(shipped_policies()), keyring)),
            contents=Contents(policy=policy, keyring=keyring, pins=self._hashers[0], site=None),
            proofs=Proofs(policy=policy, keyring=keyring, pins=self._hashers[0], site=None, clock=self.clock),
            clock=self.clock,
        )
        self.generators = Generators(policy=policy, keyring=keyring, store=store, clock=self.clock)
        self.pins = [Pins(keyring=keyring, store=store, hasher=hasher) for hasher in self._hashers]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What an awaitable comes to."""
        return self._runner.run(work)

    def tried(self, work: Coroutine[Any, Any, T]) -> T | str:
        """What an awaitable comes to, or the code or pointer of its refusal."""
        try:
            return self.run(work)
        except (AuthorisationRequired, KeyAlreadyEnrolled, NotFound) as refusal:
            return refusal.code
        except InvalidInput as refusal:
            return refusal.mistakes[0].pointer or "too many"

    def rows(self, query: str, *arguments: object) -> Sequence[Any]:
        """What a query finds."""
        return self.run(self._fetch(query, *arguments))

    async def _fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        return list(await self.pool.fetch(query, *arguments))

    def close(self) -> None:
        """End the connections, the threads and the loop."""
        self.run(self.pool.close())
        for hasher in self._hashers:
            self.run(hasher.close())
        self._runner.close()
