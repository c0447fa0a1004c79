"""The breaker: the scripts in Redis decide as the model does, whatever is sent, fails and is probed when."""

import secrets
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sca_service.policy.supply import BreakerRule
from sca_service.policy.words import Channel
from sca_service.routing.breaker import Breaker, BreakerState, claim_probe, is_failure, observe
from sca_service.routing.model import Route, SendOutcome
from sca_service.routing.redis_store import RouteStore
from tests.properties.line import Line

RULES = st.integers(1, 8).flatmap(
    lambda window: st.builds(
        BreakerRule, failures=st.integers(1, window), window=st.just(window), open_seconds=st.integers(1, 120)
    )
)
STEPS = st.lists(
    st.one_of(
        st.sampled_from(SendOutcome),
        st.just("probe"),
        st.sampled_from(["probe failed", "probe taken"]),
        st.integers(1, 60_000),
    ),
    max_size=40,
)


def route(supplier: str) -> Route:
    """A route over a supplier of one's own."""
    return Route(supplier, Channel.SMS, "262-01", None, None, ())


class Pair:
    """The same breaker twice: in Redis, and in the model. A class because it holds both."""

    def __init__(self, line: Line, rule: BreakerRule) -> None:
        self.line, self.rule = line, rule
        self.name = f"s-{secrets.token_hex(8)}"
        self.key = f"{{route:{self.name}}}:breaker"
        self.store = RouteStore(line.redis, rule)
        self.model = Breaker()
        self.probe = 0

    def let_pass(self, ms: int) -> None:
        """Move both into the past."""
        for name in ("u", "p"):
            if int(self.line.command("HGET", self.key, name) or 0):
                self.line.command("HINCRBY", self.key, name, -ms)
        self.model = replace(
            self.model,
            open_until_ms=self.model.open_until_ms - ms if self.model.open_until_ms else 0,
            probe_until_ms=self.model.probe_until_ms - ms if self.model.probe_until_ms else 0,
        )

    def observe(self, outcome: SendOutcome, probe: int = 0) -> None:
        """Tell both what came of a send."""

        async def tell() -> None:
            await self.store.observe(route(self.name), outcome, probe=probe)

        self.line.run(tell())
        self.model = observe(
            self.model, self.rule, failed=is_failure(outcome), probe=probe, now_ms=self.line.now_ms()
        )

    def claim(self) -> None:
        """Ask both for a probe."""
        number = self.line.run(self.store.claim_probe(self.name))
        self.model, expected = claim_probe(self.model, now_ms=self.line.now_ms())
        assert number == expected
        self.probe = number or self.probe

    def assert_agreed(self) -> None:
        """What both keep, but for the milliseconds between asking and answer."""
        signs, opens, number, until = self.line.command("HMGET", self.key, "o", "u", "n", "p")
        assert (signs or b"").decode() == self.model.outcomes
        assert int(number or 0) == self.model.probe
        assert abs(int(opens or 0) - self.model.open_until_ms) < 500
        assert abs(int(until or 0) - self.model.probe_until_ms) < 500


@settings(max_examples=80, deadline=None)
@given(RULES, STEPS)
def test_the_scripts_keep_the_breaker_as_the_model(
    line: Line, rule: BreakerRule, steps: list[SendOutcome | str | int]
) -> None:
    """Sends, probes that are taken, fail or are given up, and time."""
    pair = Pair(line, rule)
    for step in steps:
        match step:
            case int():
                pair.let_pass(step * 2 + 1)
            case "probe":
                pair.claim()
            case "probe failed":
                pair.observe(SendOutcome.FAILED, pair.probe)
            case "probe taken":
                pair.observe(SendOutcome.TAKEN, pair.probe)
            case SendOutcome():
                pair.observe(step)
        pair.assert_agreed()
    line.command("FLUSHDB")


@given(RULES, st.lists(st.booleans(), max_size=60))
def test_it_is_open_only_when_so_many_failed_lately(rule: BreakerRule, failures: list[bool]) -> None:
    """Never by fewer failures than the policy says."""
    breaker = Breaker()
    for at, failed in enumerate(failures):
        breaker = observe(breaker, rule, failed=failed, probe=0, now_ms=1_000)
        if breaker.state(1_000) is not BreakerState.CLOSED:
            assert sum(failures[max(0, at + 1 - rule.window) : at + 1]) >= rule.failures
            return
