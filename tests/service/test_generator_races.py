"""One code of a generator, answered to many challenges at once over two api processes: one takes it.

What is asserted is asserted of a broken version as well, which looks and then writes in place of the one statement. It
has to fail there before it counts here.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import pytest

from sca_service.authenticators.generators import Generators
from sca_service.authenticators.model import AuthenticatorType
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.core import open_core
from sca_service.kernel.postgres import in_time
from sca_service.kernel.secret import Secret
from sca_service.settings import read_settings
from tests.generator import enrolled, login, path
from tests.harness import Bank, Deployment, Role, unique_psu
from tests.volley import Post, Volley

pytestmark = pytest.mark.race

ROUNDS = 10
AT_ONCE = 5
"""Wrong answers block the payer after five; of so many at once each is still evaluated."""


@pytest.fixture(scope="module")
def second_api(service: Deployment) -> Iterator[Role]:
    """Another api process beside the first."""
    role = service.start("api")
    yield role
    role.stop()
    service.forget(role)


async def test_a_code_answers_one_of_many_challenges_at_once(
    bank: Bank, service: Deployment, second_api: Role
) -> None:
    """RFC 6238 section 5.2: in every round one of five challenges is approved, over two processes."""
    urls = [service.api.url, second_api.url]
    async with Volley(urls, service.keys["bank"], connections=AT_ONCE) as volley:
        for _ in range(ROUNDS):
            psu = unique_psu()
            _, generator = await enrolled(bank, psu, "hotp")
            challenges = [await login(bank, psu, "hotp") for _ in range(AT_ONCE)]
            code = {"code": generator.code()}
            replies = await volley.fire([Post(f"/v1/challenges/{one}/verify", code) for one in challenges])
            outcomes = Counter(reply.body["outcome"] for reply in replies)
            assert outcomes == {"approved": 1, "incorrect": AT_ONCE - 1}


class LookThenWriteStore(AuthenticatorStore):
    """Broken: it reads the last step, decides, and writes. Inherits to differ in this one way.

    Two look before the first writes, as they sooner or later would: on a slow machine one might be done before.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self._looked = asyncio.Barrier(2)

    async def claim(self, row: AuthenticatorRow, step: int, challenge: str) -> bool:
        """As somebody would write it who does not think of parallel answers."""
        now = await self.get(row.id, row.psu)
        if now is None or now.last_step >= step:
            return False
        with suppress(asyncio.BrokenBarrierError):
            await self._looked.wait()
            await self._looked.abort()
        query = "UPDATE authenticators SET last_step = $2 WHERE id = $1"
        await in_time(self._pool.execute(query, row.id, step))
        return True


@pytest.mark.parametrize(
    ("store_kind", "is_guarded"), [(LookThenWriteStore, False), (AuthenticatorStore, True)]
)
async def test_looking_before_writing_accepts_a_code_many_times(
    bank: Bank, service: Deployment, store_kind: type[AuthenticatorStore], is_guarded: bool
) -> None:
    """Fifty at once in one process: the statement lets one through, a look before the write lets several."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    code = generator.code()
    settings = read_settings(service.config(service.api.port))
    async with open_core(settings) as core:
        generators = Generators(
            policy=core.policy.authenticators,
            keyring=settings.keyring,
            store=store_kind(core.postgres),
            clock=core.clock,
        )
        payer = settings.keyring.pseudonym("payer", "bank", psu["id"])
        accepted = await asyncio.gather(
            *(
                generators.accepts(payer, AuthenticatorType.HOTP, Secret(code), challenge=f"chl_{number}")
                for number in range(50)
            )
        )
    assert (accepted.count(True) == 1) is is_guarded


async def test_nothing_is_approved_after_a_revocation_was_answered(
    bank: Bank, service: Deployment, second_api: Role
) -> None:
    """RTS Art. 27: revoked by one process while another verifies; from its answer on the next code is refused."""
    async with service.bank(url=second_api.url) as other:
        for _ in range(ROUNDS):
            psu = unique_psu()
            authenticator, generator = await enrolled(bank, psu, "hotp")
            first, second = await login(bank, psu, "hotp"), await login(bank, psu, "hotp")
            verified, revoked = await asyncio.gather(
                other.verify(first, generator.code(), None),
                bank.http.delete(f"{path(psu)}/{authenticator}"),
            )
            assert revoked.status_code == 204
            assert verified["outcome"] in {"approved", "incorrect", "cancelled"}
            assert (await other.verify(second, generator.code(), None))["outcome"] == "cancelled"
