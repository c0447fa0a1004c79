"""Authenticators as clients send and get them: the shapes of the contract."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from sca_service.authenticators.model import (
    ActivationOutcome,
    Authenticator,
    AuthenticatorState,
    AuthenticatorType,
    Element,
    ResyncOutcome,
)
from sca_service.kernel.clock import timestamp


class AuthenticatorForm(Struct, frozen=True, forbid_unknown_fields=True):
    """An authenticator to be enrolled."""

    type: AuthenticatorType
    label: Annotated[
        str,
        Meta(
            max_length=256,
            examples=["Anna"],
            description="What the payer reads beside the codes, at most 64 characters.",
        ),
    ]
    pin: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="For `pin`: what the payer chose, ASCII digits as many as the policy asks for, at most 12. "
                "Kept as an Argon2id hash.",
            ),
        ]
        | None
    ) = None
    suite: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["OCRA-1:HOTP-SHA256-8:C-QH40"],
                description="For `ocra`: what the generator computes (RFC 6287 section 6). With a counter or the time, "
                "at least 6 digits, and a question of at least 26 bits, such as QN08; no PIN, no session.",
            ),
        ]
        | None
    ) = None
    key: (
        Annotated[
            str,
            Meta(
                max_length=128,
                description="For `ocra`: the key of a device that has one already, 16 to 64 bytes in base32 (RFC "
                "4648); its counter has to stand near 0. Left out, the service makes one.",
            ),
        ]
        | None
    ) = None
    unlocked_by: Annotated[
        Element | None,
        Meta(
            description="For `device_key` and `passkey`: `knowledge` or `inherence`, what the device asks for "
            "before its key signs. Of your app you answer for it; null for a key that signs without. A passkey always "
            "verifies the payer: `inherence` unless you say otherwise."
        ),
    ] = None
    for_payments: Annotated[
        bool | None,
        Meta(description="For `passkey`: whether it is to confirm payments that the browser itself shows."),
    ] = None
    phone: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["+4915112345678"],
                description="For `phone`: the line, in E.164. A code is sent to it, which activates it.",
            ),
        ]
        | None
    ) = None
    locale: Annotated[
        str | None,
        Meta(description="For `phone`: the language of that message (BCP 47)."),
    ] = None
    authorisation: (
        Annotated[
            str,
            Meta(
                max_length=4096,
                description="The `authentication_code` of an approved `enrolment` challenge, at most five minutes old "
                "and used once. Needed as soon as the payer has an active authenticator (RTS Art. 24).",
            ),
        ]
        | None
    ) = None


class ActivationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What proves that the payer has it, or knows it: one of the three. A device proves its key by itself."""

    code: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["287082"],
                description="What the generator shows now, or answers to the `activation_question`; for `phone`, what "
                "was sent to it.",
            ),
        ]
        | None
    ) = None
    pin: Annotated[str, Meta(max_length=64, description="For `pin`: the PIN once more.")] | None = None
    passkey: Annotated[
        dict[str, Any] | None,
        Meta(
            description="For `passkey`: what the browser returned for the `passkey_options` "
            "(`PublicKeyCredential.toJSON()`)."
        ),
    ] = None


class AuthenticatorBody(Struct, frozen=True):
    """An authenticator. It never holds what it authenticates by."""

    id: str
    type: AuthenticatorType
    state: AuthenticatorState
    element: Annotated[
        Element, Meta(description="The category of element that it carries (RTS Art. 6 to 8).")
    ]
    label: str
    created_at: str
    activated_at: str | None
    used_at: str | None
    unlocked_by: Annotated[
        Element | None,
        Meta(description="The element that a device or passkey asks for before its key signs."),
    ] = None


class EnrolledBody(Struct, frozen=True):
    """A pending authenticator, and what the payer needs to set it up."""

    authenticator: AuthenticatorBody
    otpauth_uri: Annotated[
        str | None,
        Meta(
            description="For a `totp` or `hotp` generator, told once: null for other types, and when the same request "
            "is sent again."
        ),
    ]
    otpauth_qr: Annotated[
        str | None,
        Meta(description="The same as a QR code: an SVG to be shown as it is. Told once, with the URI."),
    ]
    ocra_key: Annotated[
        str | None,
        Meta(
            description="For an `ocra` generator, in base32, told once: null for other types, for a key of yours, and "
            "when the same request is sent again."
        ),
    ] = None
    activation_question: Annotated[
        str | None,
        Meta(description="For an `ocra` generator: what its answer activates it. Null for other types."),
    ] = None
    activation_code: Annotated[
        str | None,
        Meta(
            description="For `device_key`, told once: hand it to the app in a session that you have authenticated; the "
            "app shows its key with it."
        ),
    ] = None
    device_url: Annotated[
        str | None,
        Meta(description="For `device_key`: what the app calls, and signs its requests for."),
    ] = None
    passkey_options: Annotated[
        dict[str, Any] | None,
        Meta(description="For `passkey`: for `PublicKeyCredential.parseCreationOptionsFromJSON()`."),
    ] = None


class ActivationBody(Struct, frozen=True):
    """What a try to activate came to."""

    outcome: ActivationOutcome
    tries_left: Annotated[int, Meta(description="Wrong codes that remain before it is revoked.")]
    authenticator: AuthenticatorBody


class NothingForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing has to be said."""


class ResyncForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Two codes that the generator shows one after the other."""

    codes: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        Meta(min_length=2, max_length=2, examples=[["287082", "359152"]]),
    ]


class ResyncBody(Struct, frozen=True):
    """What a try to find a generator's counter came to."""

    outcome: ResyncOutcome
    tries_left: Annotated[int, Meta(description="Wrong tries that remain before it is revoked.")]
    authenticator: AuthenticatorBody


class AuthenticatorListBody(Struct, frozen=True):
    """All authenticators of a payer, the oldest first, without the revoked."""

    data: tuple[AuthenticatorBody, ...]
    next_cursor: None = None


def authenticator_body(authenticator: Authenticator) -> AuthenticatorBody:
    """The authenticator as its client sees it."""
    return AuthenticatorBody(
        id=authenticator.id,
        type=authenticator.type,
        state=authenticator.state,
        element=authenticator.element,
        label=authenticator.label,
        created_at=timestamp(authenticator.created_at_ms),
        activated_at=timestamp(authenticator.activated_at_ms) if authenticator.activated_at_ms else None,
        used_at=timestamp(authenticator.used_at_ms) if authenticator.used_at_ms else None,
        unlocked_by=authenticator.unlocked_by,
    )
