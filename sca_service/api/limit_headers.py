"""The headers that tell how limits stand, as in draft-ietf-httpapi-ratelimit-headers-10."""

from collections.abc import Sequence

from sca_service.kernel.quota import Allowance


def limit_headers(allowances: Sequence[Allowance]) -> tuple[tuple[str, str], ...]:
    """`RateLimit-Policy` and `RateLimit`, with an item for each limit; nothing where there is none to tell of.

    `q` is allowed in `w` seconds; `r` are left now, and in `t` seconds as many as ever.
    """
    if not allowances:
        return ()
    policies = ", ".join(
        f'"{one.quota.name}";q={one.quota.count};w={one.quota.per_seconds}' for one in allowances
    )
    left = ", ".join(f'"{one.quota.name}";r={one.left};t={one.full_in_seconds}' for one in allowances)
    return ("RateLimit-Policy", policies), ("RateLimit", left)
