"""Whose actions are counted together: every scope of a limit, and the pseudonym it is counted under.

A phone number, its prefix and its country are counted over all clients: they name what is paid for and who is woken,
whichever bank asked. Payers, devices and addresses are counted within a client: a bank's word on them counts for that
bank only, and none can use up what is another's.
"""

import msgspec

from sca_service.kernel.addresses import site_of
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.limits.model import Limit
from sca_service.policy.model import LimitedAction, LimitScope, Policy

_PREFIX_LEAVES_OUT = 4
"""Digits at the end of a number: a prefix is a block of ten thousand, as operators are given and sell them."""


class Subjects(msgspec.Struct, frozen=True):
    """What is known of an action; a limit on what is not known does not count it.

    `payer` is a pseudonym, `ip` and `device` are as the client names them; `address` is where the request came from.
    """

    client: str = ""
    payer: str = ""
    line: PhoneNumber | None = None
    ip: str = ""
    device: str = ""
    address: str = ""

    def pseudonym(self, scope: LimitScope, keyring: Keyring) -> str | None:
        """The name that this scope is counted under, None where it is not known."""
        match scope:
            case LimitScope.PAYER:
                return self.payer or None
            case LimitScope.CLIENT:
                return keyring.pseudonym("client", self.client) if self.client else None
            case LimitScope.DEVICE:
                return keyring.pseudonym("limited device", self.client, self.device) if self.device else None
            case LimitScope.IP:
                site = site_of(self.ip)
                return keyring.pseudonym("limited address", self.client, site) if site else None
            case LimitScope.ADDRESS:
                site = site_of(self.address)
                return keyring.pseudonym("sender address", site) if site else None
            case LimitScope.SUPPLIER:
                return None
            case _:
                return self._of_line(scope, keyring)

    def _of_line(self, scope: LimitScope, keyring: Keyring) -> str | None:
        line = self.line
        if line is None:
            return None
        if scope is LimitScope.PHONE:
            return keyring.pseudonym("phone", line.e164)
        if scope is LimitScope.PREFIX:
            return keyring.pseudonym("number prefix", line.e164[:-_PREFIX_LEAVES_OUT])
        return keyring.pseudonym("number country", line.country)


def answers_slot(keyring: Keyring, client: str) -> str:
    """What the limits on a client's answers lie together under."""
    return keyring.pseudonym("client", client)


def limits_on(
    policy: Policy, keyring: Keyring, action: LimitedAction, subjects: Subjects
) -> tuple[Limit, ...]:
    """Every limit of the policy that counts this action, with the subject that it is counted for.

    Those on answers lie together, for all of them are counted within a client: one step more for each answer is enough.
    """
    rules = policy.limits_on(action)
    names = {scope: subjects.pseudonym(scope, keyring) for scope in {rule.scope for rule in rules}}
    slot = ""
    if rules and action is LimitedAction.VERIFY:
        slot = names.get(LimitScope.CLIENT) or answers_slot(keyring, subjects.client)
    found = []
    for rule in rules:
        subject = names[rule.scope]
        if subject:
            found.append(Limit.of(rule, subject, slot=slot))
    return tuple(found)
