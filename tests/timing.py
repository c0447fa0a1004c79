"""Whether the time of an answer tells what its text does not: `python -m tests.timing [calls]`, on a quiet machine.

Starts a service, answers challenges of each kind in turn over one connection, shuffled in every round, and compares the
times of two kinds by the Mann-Whitney U test. What must not be told apart: a challenge that does not exist from another
bank's; a right code from a wrong one where neither is accepted any more; a code that is nearly right from one that is
not. Besides it tells by how much the kinds differ that the API itself tells apart.
"""

import asyncio
import itertools
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sca_service.settings import shipped_policies
from tests.harness import Bank, Deployment, unique_psu, wrong

CALLS = 2_000
UNLIKELY = 0.01 / 4
"""The level of each comparison: of a hundred runs one calls something different that is not."""
_KEPT = 10
_AT_ONCE = 20
_TRIES_OF_A_PAYER = 4  # the fifth wrong answer blocks
_SAME = (
    ("unknown", "another bank's"),
    ("blocked, wrong", "blocked, right"),
    ("expired, wrong", "expired, right"),
    ("wrong, far", "wrong, near"),
)
_TOLD = ("unknown", "expired, wrong", "blocked, wrong", "wrong, far")
_MOST_DIGITS = re.compile(r"^(count|burst) = \d+$", re.MULTILINE)
Answer = tuple[str, str]
"""A challenge and a code for it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two samples: how likely chance alone makes them differ as much, and how often one of the second is slower."""

    likelihood: float
    share_slower: float


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The U test of two samples (two-sided, normal approximation, ties corrected for): for twenty of each at least."""
    ranked = sorted((value, sample) for sample, values in enumerate((first, second)) for value in values)
    rank_sum, tied, at = 0.0, 0, 0
    for _, group in itertools.groupby(ranked, key=lambda one: one[0]):
        same = list(group)
        rank_sum += sum(sample for _, sample in same) * (at + (len(same) + 1) / 2)
        tied += len(same) ** 3 - len(same)
        at += len(same)
    n, m = len(first), len(second)
    u = rank_sum - m * (m + 1) / 2
    spread = (n * m / 12 * ((n + m + 1) - tied / ((n + m) * (n + m - 1)))) ** 0.5
    z = abs(u - n * m / 2) / spread if spread else 0.0
    return Difference(2 * (1 - statistics.NormalDist().cdf(z)), u / (n * m))


def nearly(code: str) -> str:
    """A wrong code that differs in its last digit only."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def far(code: str) -> str:
    """A wrong code that differs in every digit."""
    return "".join(str((int(digit) + 5) % 10) for digit in code)


async def _challenge(bank: Bank, seconds: int = 300) -> Answer:
    psu = unique_psu()
    body = {
        "purpose": "login",
        "transaction": None,
        "channels": [{"channel": "sms"}],
        "expires_in_s": seconds,
    }
    challenge = (await bank.issue(psu=psu, **body))["id"]
    return challenge, await bank.code(psu["phone"])


async def _challenges(bank: Bank, count: int, seconds: int = 300) -> list[Answer]:
    made: list[Answer] = []
    while len(made) < count:
        made += await asyncio.gather(
            *(_challenge(bank, seconds) for _ in range(min(_AT_ONCE, count - len(made))))
        )
    return made


async def _kinds(bank: Bank, other: Bank, calls: int) -> dict[str, list[Answer]]:
    """The answers of each kind, as many as calls."""
    expired = await _challenges(bank, _KEPT, 60)
    expires_at = time.monotonic() + 62
    blocked, foreign = await _challenges(bank, _KEPT), await _challenges(other, _KEPT)
    for challenge, code in blocked:
        for _ in range(_TRIES_OF_A_PAYER + 1):
            await bank.answer(challenge, wrong(code), None)
    await asyncio.sleep(max(0.0, expires_at - time.monotonic()))
    fresh = await _challenges(bank, -(-2 * calls // _TRIES_OF_A_PAYER))
    tries = [one for one in fresh for _ in range(_TRIES_OF_A_PAYER)]
    unknown = [(one[:-8] + f"{random.getrandbits(32):08x}", code) for one, code in blocked]
    made = {
        "unknown": unknown,
        "another bank's": foreign,
        "blocked, wrong": [(one, far(code)) for one, code in blocked],
        "blocked, right": blocked,
        "expired, wrong": [(one, far(code)) for one, code in expired],
        "expired, right": expired,
        "wrong, far": [(one, far(code)) for one, code in tries[::2]],
        "wrong, near": [(one, nearly(code)) for one, code in tries[1::2]],
    }
    return {kind: list(itertools.islice(itertools.cycle(answers), calls)) for kind, answers in made.items()}


async def measured(bank: Bank, kinds: dict[str, list[Answer]], calls: int) -> dict[str, list[float]]:
    """How long each answer took, in milliseconds; asserts that each is what its kind says."""
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    told: dict[str, set[str]] = {kind: set() for kind in kinds}
    for at in range(calls):
        for kind in random.sample(list(kinds), len(kinds)):
            challenge, code = kinds[kind][at]
            began = time.perf_counter_ns()
            response = await bank.answer(challenge, code, None)
            times[kind].append((time.perf_counter_ns() - began) / 1e6)
            told[kind].add(response.json().get("outcome", response.json().get("code")))
    for kind, outcomes in told.items():
        assert len(outcomes) == 1, (kind, outcomes)
    return times


def report(times: dict[str, list[float]]) -> bool:
    """Print what was found; whether nothing is told apart that must not be."""
    for kind, values in times.items():
        print(f"{kind:16} median {statistics.median(values):7.3f} ms, of {len(values)}")
    holds = True
    for first, second in (*_SAME, *itertools.combinations(_TOLD, 2)):
        difference = mann_whitney(times[first], times[second])
        must = (first, second) in _SAME
        holds &= not must or difference.likelihood > UNLIKELY
        said = "differ" if difference.likelihood <= UNLIKELY else "same"
        print(
            f"{first:16} {second:16} p {difference.likelihood:.4f}, the second slower in "
            f"{difference.share_slower:.1%}: {said}{'' if must else ' (told by the API)'}"
        )
    return holds


async def _measure(deployment: Deployment, calls: int) -> bool:
    async with deployment.bank(client="operator") as operator:
        form = {"scope": "country", "subject": "DE", "reason": "home"}
        assert (await operator.http.post("/v1/allow-list", json=form)).status_code == 201
    async with deployment.bank() as bank, deployment.bank(client="other-bank") as other:
        return report(await measured(bank, await _kinds(bank, other, calls), calls))


def main(calls: int) -> None:
    """Measure with a service of its own; exit status 1 when something is told apart that must not be."""
    with tempfile.TemporaryDirectory() as place:
        policies = Path(shutil.copytree(shipped_policies(), Path(place) / "policies"))
        limits = (policies / "limits.toml").read_text("utf-8")
        roomy = _MOST_DIGITS.sub(lambda found: f"{found[1]} = 60000", limits)
        (policies / "limits.toml").write_text(roomy, "utf-8")
        deployment = Deployment(Path(place) / "sca", policies, log_level="WARNING")
        deployment.folder.mkdir()
        deployment.start_stores()
        try:
            deployment.start("api")
            deployment.start("worker")
            holds = asyncio.run(_measure(deployment, calls))
        finally:
            deployment.stop()
    sys.exit(not holds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
