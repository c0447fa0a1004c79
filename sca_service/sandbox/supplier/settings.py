"""What a section of `suppliers.toml` with the kind `sandbox` may hold, and how the sandbox's suppliers are called.

It takes no secret from the environment: its receipts are signed under a key of the keyring.
"""

from collections.abc import Collection, Iterable
from typing import Annotated

import msgspec

from sca_service.delivery.channels.kinds import SANDBOX
from sca_service.kernel.errors import NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.supply import SupplierRule
from sca_service.sandbox.mailbox import LONGEST_DELAY_MS


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section's options. `receipt_delay_ms`: how long after a message was taken its receipt comes, unscripted."""

    receipt_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_DELAY_MS)] = 20


def supplier_name(channel: Channel) -> str:
    """How the first sandbox supplier of a channel is called: `sandbox-sms`. A policy may name more of them."""
    return f"{SANDBOX}-{channel}"


def usual_rules() -> tuple[SupplierRule, ...]:
    """One sandbox supplier for each channel, for everywhere and without a price in the policy."""
    return tuple(
        SupplierRule(
            name=supplier_name(channel),
            kind=SANDBOX,
            channel=channel,
            countries=(),
            currency="EUR",
            prices=(),
            options={},
        )
        for channel in Channel
    )


def sandbox_names(rules: Iterable[SupplierRule]) -> frozenset[str]:
    """The names of those among a policy's suppliers that are the sandbox's."""
    return frozenset(rule.name for rule in rules if rule.kind == SANDBOX)


def supplier_named(name: str, names: Collection[str]) -> str:
    """The whole name of one of the sandbox's suppliers: `sms` is short for `sandbox-sms`. Raises NotFound."""
    for known in (name, f"{SANDBOX}-{name}"):
        if known in names:
            return known
    raise NotFound


def receipt_key(keyring: Keyring) -> Secret[bytes]:
    """The key under which the worker's sandbox suppliers sign what the api reads."""
    return Secret(keyring.channel_key("sandbox receipts"))
