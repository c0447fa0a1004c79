"""Authenticators: what a payer has enrolled."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sca_service.client.call import NOTHING, Call, Page, quoted


class Authenticator(msgspec.Struct, frozen=True):
    """What a payer has enrolled, masked."""

    id: str
    type: str
    state: str
    element: str
    label: str
    created_at: str
    activated_at: str | None
    used_at: str | None
    unlocked_by: str | None = None


class Activation(msgspec.Struct, frozen=True):
    """What an activation came to."""

    outcome: str
    tries_left: int
    authenticator: Authenticator


class Enrolled(msgspec.Struct, frozen=True):
    """A new authenticator, with what is told once: its `repr` shows none of that."""

    authenticator: Authenticator
    otpauth_uri: str | None
    otpauth_qr: str | None
    ocra_key: str | None = None
    activation_question: str | None = None
    activation_code: str | None = None
    device_url: str | None = None
    passkey_options: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Enrolled(authenticator={self.authenticator!r})"


class Resync(msgspec.Struct, frozen=True):
    """What a resynchronisation came to."""

    outcome: str
    tries_left: int
    authenticator: Authenticator


def enrol(
    psu_id: str,
    *,
    type_: str,
    label: str,
    pin: str | None = None,
    suite: str | None = None,
    key: str | None = None,
    unlocked_by: str | None = None,
    for_payments: bool | None = None,
    phone: str | None = None,
    locale: str | None = None,
    authorisation: str | None = None,
) -> Call[Enrolled]:
    """Enrol an authenticator.

    It is pending until a code proves that the payer has it. A payer's first one needs your word only; any
    other one an `authorisation`. Accepts an `Idempotency-Key`: sent again, the answer is the same but for
    the URI or key, which is told once.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/authenticators",
        Enrolled,
        body={
            "type": type_,
            "label": label,
            "pin": pin,
            "suite": suite,
            "key": key,
            "unlocked_by": unlocked_by,
            "for_payments": for_payments,
            "phone": phone,
            "locale": locale,
            "authorisation": authorisation,
        },
    )


def activate(
    psu_id: str,
    authenticator_id: str,
    *,
    code: str | None = None,
    pin: str | None = None,
    passkey: Mapping[str, Any] | None = None,
) -> Call[Activation]:
    """Prove that the payer has it.

    A wrong code is a 200 with its `outcome`. After five wrong codes it is revoked.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/authenticators/{quoted(authenticator_id)}/activate",
        Activation,
        body={"code": code, "pin": pin, "passkey": passkey},
        repeats=False,
    )


def find(psu_id: str) -> Call[Page[Authenticator]]:
    """A payer's authenticators. All of them, the oldest first, without the revoked."""
    return Call("GET", f"/v1/psus/{quoted(psu_id)}/authenticators", Page[Authenticator])


def resynchronise(psu_id: str, authenticator_id: str, *, codes: Sequence[str]) -> Call[Resync]:
    """Find the counter of a generator.

    For a `hotp` generator that was pressed too often: two codes in a row tell where it stands (RFC 4226,
    section 7.4). Neither is taken again. After five wrong tries it is revoked.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/authenticators/{quoted(authenticator_id)}/resynchronise",
        Resync,
        body={"codes": codes},
        repeats=False,
    )


def suspend(psu_id: str, authenticator_id: str) -> Call[Authenticator]:
    """Suspend an authenticator.

    For a device that is mislaid: it answers nothing on any replica, and pending challenges that nothing
    else could answer are cancelled. Idempotent.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/authenticators/{quoted(authenticator_id)}/suspend",
        Authenticator,
        body={},
    )


def resume(psu_id: str, authenticator_id: str) -> Call[Authenticator]:
    """Let a suspended authenticator answer again.

    Only after you have identified the payer. Idempotent; one that is not suspended stays as it is.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/authenticators/{quoted(authenticator_id)}/resume",
        Authenticator,
        body={},
    )


def revoke(psu_id: str, authenticator_id: str) -> Call[None]:
    """Revoke an authenticator.

    At once and for good, on every replica. Pending challenges that it was to answer are cancelled.
    """
    return Call("DELETE", f"/v1/psus/{quoted(psu_id)}/authenticators/{quoted(authenticator_id)}", NOTHING)
