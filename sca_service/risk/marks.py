"""What can be put on a list of compromised or stolen elements, and how it is known and shown again. Pure."""

from dataclasses import dataclass, field

from sca_service.kernel.account import Account
from sca_service.kernel.addresses import network_of
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.risk.facts import network_pseudonym, subject_pseudonym
from sca_service.risk.model import MarkedKind
from sca_service.risk.redis_store import SubjectKind

_TAIL = 4


@dataclass(frozen=True, slots=True)
class Element:
    """One that is to be put on a list. `text` is how it is known, `shown` as much of it as is told again."""

    kind: MarkedKind
    text: str = field(repr=False)
    shown: str = field(repr=False)

    @classmethod
    def account(cls, account: Account) -> "Element":
        """A payee's account."""
        return cls(MarkedKind.PAYEE, account.iban or account.bban or "", f"…{account.tail}")

    @classmethod
    def phone(cls, number: PhoneNumber) -> "Element":
        """A phone line."""
        return cls(MarkedKind.PHONE, number.e164, number.masked)

    @classmethod
    def network(cls, text: str) -> "Element":
        """An address or a network. Raises InvalidInput at the root."""
        name = network_of(text)
        if name is None:
            raise InvalidInput.at(
                "", "must be an IP address, or a network of /24 or /16 (IPv4), of /64, /56, /48 or /32 (IPv6)"
            )
        return cls(MarkedKind.IP, name, name)

    @classmethod
    def reference(cls, kind: MarkedKind, text: str) -> "Element":
        """The bank's own reference of a payer, device or card."""
        return cls(kind, text, f"…{text[-_TAIL:]}" if len(text) > 2 * _TAIL else "…")

    def subject(self, keyring: Keyring, client: str) -> str:
        """The pseudonym under which it is remembered of a client's requests."""
        if self.kind is MarkedKind.PAYER:
            return keyring.pseudonym("payer", client, self.text)
        if self.kind is MarkedKind.IP:
            return network_pseudonym(keyring, client, self.text)
        return subject_pseudonym(keyring, client, SubjectKind(self.kind), self.text)
