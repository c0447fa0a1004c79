"""What clients send: the shapes of the contract. `requests.py` makes values of them.

Strict: an unknown member or a wrong type is refused with its JSON pointer.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sca_service.challenges.model import Element, Method
from sca_service.policy.model import Channel, Purpose

_Word = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}\Z")]
_Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
_Days = Annotated[int, Meta(ge=0, le=100_000)]
_PsuId = Annotated[
    str, Meta(min_length=1, max_length=128, description="The client's own reference of the payer.")
]


class AmountForm(Struct, frozen=True, forbid_unknown_fields=True, rename={"minor": "amount"}):
    """Money as in ISO 20022: a decimal string with at most the minor digits of its currency."""

    currency: Annotated[str, Meta(max_length=8, examples=["EUR"], description="ISO 4217.")]
    minor: Annotated[
        str,
        Meta(
            max_length=32,
            examples=["49.99"],
            description="Greater than zero; no sign, no exponent, at most the minor digits of the currency.",
        ),
    ]


class AccountForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The payee's account: exactly one of its two names."""

    iban: (
        Annotated[
            str,
            Meta(
                max_length=64, examples=["DE89370400440532013000"], description="With correct check digits."
            ),
        ]
        | None
    ) = None
    bban: Annotated[str, Meta(max_length=64, description="For an account that has no IBAN.")] | None = None


class PayeeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is meant to receive."""

    name: Annotated[
        str,
        Meta(
            max_length=600,
            examples=["ACME GmbH"],
            description="As the payer is to read it, at most 140 characters.",
        ),
    ]
    account: Annotated[
        AccountForm | None,
        Meta(description="The end of it is shown to the payer."),
    ] = None


class ShareForm(Struct, frozen=True, forbid_unknown_fields=True):
    """One payee of a batch and what it receives."""

    payee: PayeeForm
    amount: AmountForm


class TransactionForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the payer agrees to: `amount` and `payee`, or `total` and `payees` for a batch."""

    amount: Annotated[
        AmountForm | None,
        Meta(description="What is paid; for a preauthorisation the highest amount to block."),
    ] = None
    payee: Annotated[
        PayeeForm | None,
        Meta(description="Who is meant to receive it."),
    ] = None
    total: Annotated[
        AmountForm | None,
        Meta(description="Of a batch: what all payees receive together."),
    ] = None
    payees: (
        Annotated[
            list[ShareForm],
            Meta(min_length=1, max_length=1000, description="Of a batch: each payee and what it receives."),
        ]
        | None
    ) = None
    reference: (
        Annotated[
            str,
            Meta(
                max_length=600,
                description="Your own reference of the payment, at most 140 characters; compared as well.",
            ),
        ]
        | None
    ) = None
    kind: Annotated[
        Literal["payment", "preauthorisation"] | None,
        Meta(description="A preauthorisation blocks money up to the amount."),
    ] = None


class PsuForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The payer."""

    id: _PsuId
    phone: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["+4915112345678"],
                description="E.164. Used only where the policy takes a number that the client vouches for.",
            ),
        ]
        | None
    ) = None
    locale: (
        Annotated[
            str,
            Meta(
                max_length=35,
                examples=["de-DE"],
                description="The language of what the payer reads and hears (BCP 47).",
            ),
        ]
        | None
    ) = None


class StepForm(Struct, frozen=True, forbid_unknown_fields=True):
    """One channel of the ladder, and how long to wait before the next."""

    channel: Channel
    timeout_s: (
        Annotated[
            int, Meta(ge=1, le=300, description="Seconds to wait for a delivery before the next channel.")
        ]
        | None
    ) = None


class SignalsForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the client knows of the payer's session."""

    ip: (
        Annotated[
            str,
            Meta(max_length=64, examples=["203.0.113.7"], description="The payer's IPv4 or IPv6 address."),
        ]
        | None
    ) = None
    device_id: Annotated[str, Meta(max_length=256)] | None = None
    user_agent: Annotated[str, Meta(max_length=1024)] | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    malware: Annotated[
        bool | None, Meta(description="Whether there is a sign of malware in the session (RTS Art. 2(2)(d)).")
    ] = None
    scenarios: (
        Annotated[
            list[_Word],
            Meta(
                max_length=16,
                description="Known fraud scenarios that you see, in words of yours (RTS Art. 2(2)(c)).",
            ),
        ]
        | None
    ) = None
    compromised: (
        Annotated[
            list[_Word],
            Meta(max_length=16, description="Elements that are known to be lost or stolen, such as `phone`."),
        ]
        | None
    ) = None
    payee_check: Annotated[
        Literal["match", "close_match", "no_match", "not_possible"] | None,
        Meta(description="What the verification of payee came to (Regulation (EU) 2024/886)."),
    ] = None
    payee_country: Annotated[
        _Country | None, Meta(description="Where the payee is; left out: the IBAN's.")
    ] = None
    device_tampered: Annotated[bool | None, Meta(description="Rooted, hooked, or run in an emulator.")] = None
    remote_access: Annotated[
        bool | None, Meta(description="Whether somebody shares or steers the screen.")
    ] = None
    app_abnormal: Annotated[
        bool | None,
        Meta(description="Whether your device or software is used abnormally (RTS Art. 2(2)(e))."),
    ] = None
    ip_anonymous: Annotated[
        bool | None, Meta(description="Whether the address is a VPN's, a proxy's, or Tor's.")
    ] = None
    ip_country: Annotated[_Country | None, Meta(description="Where the address is.")] = None
    payer_country: Annotated[
        _Country | None, Meta(description="Where the payer says to be, or usually is.")
    ] = None
    number_age_days: Annotated[
        _Days | None, Meta(description="For how long you have known the phone number.")
    ] = None
    account_age_days: Annotated[
        _Days | None, Meta(description="For how long the payer has had the account.")
    ] = None
    latitude: Annotated[
        float | None, Meta(description="Where the payer is; kept to a hundredth of a degree.")
    ] = None
    longitude: float | None = None
    card_ref: (
        Annotated[
            str,
            Meta(
                max_length=128,
                description="Your own reference of the card, as it may stand on a list. Never a card number.",
            ),
        ]
        | None
    ) = None


class InstrumentForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the payer pays with, as the browser shows it beside the payment (Secure Payment Confirmation)."""

    name: Annotated[str, Meta(max_length=600, examples=["Current account ··34"])]
    icon: Annotated[
        str,
        Meta(
            max_length=2048,
            description="Its picture: an https:// URL, or one of http://localhost; the browser fetches it.",
        ),
    ]


class CreateChallenge(Struct, frozen=True, forbid_unknown_fields=True):
    """A challenge to be issued."""

    psu: Annotated[
        PsuForm,
        Meta(description="The payer."),
    ]
    purpose: Purpose
    transaction: Annotated[
        TransactionForm | None,
        Meta(description="Required for a payment, refused otherwise."),
    ] = None
    method: Annotated[
        Method,
        Meta(
            description="How the payer answers: a code that is sent, or one that an enrolled generator shows; a "
            "signature of the bank's app or of a passkey. For a payment none of `totp` and `hotp`: their codes fit "
            "every amount and payee."
        ),
    ] = Method.ONE_TIME_CODE
    channels: (
        Annotated[
            list[StepForm],
            Meta(
                min_length=1,
                max_length=10,
                description="The ladder, in order; within the policy's for this purpose, which is the default.",
            ),
        ]
        | None
    ) = None
    elements_presented: (
        Annotated[
            list[Element], Meta(max_length=3, description="What you have already verified and answer for.")
        ]
        | None
    ) = None
    presented_over: (
        Annotated[
            dict[Element, Channel],
            Meta(
                description="By which of our channels you were given an element of `elements_presented`, where it was "
                "one of them: a PIN typed into the thread that the code arrives in is not independent of it, and does "
                "not count (RTS Art. 9)."
            ),
        ]
        | None
    ) = None
    instrument: Annotated[
        InstrumentForm | None,
        Meta(
            description="For `passkey` and a payment to one payee: lets the browser itself show the payment."
        ),
    ] = None
    signals: Annotated[
        SignalsForm | None,
        Meta(description="What you know of the payer's session."),
    ] = None
    expires_in_s: Annotated[
        int | None,
        Meta(description="Seconds until the code is void; within the policy, never above 600."),
    ] = None
    reference: (
        Annotated[str, Meta(max_length=600, description="Your own reference, at most 140 characters.")] | None
    ) = None
    metadata: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]] | None,
        Meta(description="Returned as it is; at most 20 members."),
    ] = None


class AnswerForm(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer to a challenge; for a payment with the transaction that is about to be executed."""

    code: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["693554"],
                description="What the payer typed: 4 to 12 ASCII letters or digits. Anything else costs no attempt. "
                "Required, but for `passkey`.",
            ),
        ]
        | None
    ) = None
    passkey: Annotated[
        dict[str, Any] | None,
        Meta(
            description="For `passkey`: what the browser returned for the `passkey_request` or the `payment_request` "
            "(`PublicKeyCredential.toJSON()`)."
        ),
    ] = None
    transaction: Annotated[
        TransactionForm | None,
        Meta(
            description="Required for a payment: what is about to be executed. Any difference voids the challenge."
        ),
    ] = None
    pin: (
        Annotated[
            str, Meta(max_length=64, description="The payer's PIN, where the challenge has `pin_asked`.")
        ]
        | None
    ) = None


class NextForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the next channel is wanted."""

    reason: Literal["user_request"] = "user_request"


class CancelForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing has to be said to cancel."""


class UnblockForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a payer is unblocked, and whose payer it is when the operator acts for another client."""

    reason: Annotated[str, Meta(max_length=512, description="Goes on record.")]
    client: (
        Annotated[
            str,
            Meta(
                pattern="^[a-z0-9][a-z0-9-]{1,39}$",
                description="Whose payer it is, when that is another client.",
            ),
        ]
        | None
    ) = None
