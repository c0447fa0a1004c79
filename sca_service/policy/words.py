"""The words that every policy file uses: what a challenge is for, how a message travels, what a text speaks of."""

from enum import StrEnum

from sca_service.kernel.transaction import TransactionKind


class Purpose(StrEnum):
    """What a challenge is for; a code for one purpose never serves another.

    Challenge ids carry the position in this list: a new purpose goes to the end.
    """

    LOGIN = "login"
    ACCOUNT_ACCESS = "account_access"
    PAYMENT = "payment"
    ENROLMENT = "enrolment"
    OTHER = "other"


class Channel(StrEnum):
    """How a message travels."""

    SMS = "sms"
    VOICE = "voice"
    PUSH = "push"
    RCS = "rcs"
    WHATSAPP = "whatsapp"
    EMAIL = "email"

    @property
    def carries_codes(self) -> bool:
        """Whether a code may travel this way; never by e-mail (NIST SP 800-63B-4 section 3.1.3.1)."""
        return self is not Channel.EMAIL

    @property
    def needs_phone(self) -> bool:
        """Whether the message goes to the payer's phone number."""
        return self in (Channel.SMS, Channel.VOICE, Channel.RCS, Channel.WHATSAPP)


class Occasion(StrEnum):
    """What a text speaks of: the purpose of the challenge, and for a payment its kind."""

    LOGIN = "login"
    ACCOUNT_ACCESS = "account_access"
    PAYMENT = "payment"
    PREAUTHORISATION = "preauthorisation"
    BATCH = "batch"
    ENROLMENT = "enrolment"
    OTHER = "other"

    @classmethod
    def of(cls, purpose: Purpose, kind: TransactionKind | None) -> "Occasion":
        """The occasion of a challenge. Raises ValueError for a payment without its transaction's kind."""
        if purpose is not Purpose.PAYMENT:
            return cls(purpose.value)
        if kind is None:
            raise ValueError("a payment has a transaction")
        return cls(kind.value)
