"""Every kind of supplier there is, by the name it has in `suppliers.toml`, and how one is made.

Adapters are imported when a policy names them: what is not used costs no start-up time and no memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from sca_service.delivery.channels.context import Context, checked_options
from sca_service.delivery.supplier import Supplier, WordReader
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.model import Channel
from sca_service.policy.supply import SupplierRule

SANDBOX = "sandbox"
"""The kind of the sandbox's own suppliers, which exist for every channel and are made by the composition root."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of supplier: the channel it carries, and the folder of its adapter below this one."""

    channel: Channel
    folder: str

    def part(self, name: str) -> ModuleType:
        """One of the adapter's files."""
        return import_module(f"{__package__}.{self.folder}.{name}")


KINDS: Mapping[str, Kind] = {
    "smpp": Kind(Channel.SMS, "sms.smpp"),
    "kaleyra": Kind(Channel.SMS, "sms.kaleyra"),
    "twilio-messages": Kind(Channel.SMS, "sms.twilio_messages"),
    "http-sms": Kind(Channel.SMS, "sms.http_sms"),
    "twilio-calls": Kind(Channel.VOICE, "voice.twilio_calls"),
    "vonage-voice": Kind(Channel.VOICE, "voice.vonage_voice"),
    "sip": Kind(Channel.VOICE, "voice.sip"),
    "web-push": Kind(Channel.PUSH, "push.web_push"),
    "fcm": Kind(Channel.PUSH, "push.fcm"),
    "apns": Kind(Channel.PUSH, "push.apns"),
    "rcs-business-messaging": Kind(Channel.RCS, "rcs.business_messaging"),
    "whatsapp-cloud": Kind(Channel.WHATSAPP, "whatsapp.cloud"),
    "smtp": Kind(Channel.EMAIL, "email.smtp"),
}


def check(rule: SupplierRule) -> None:
    """Whether a section of `suppliers.toml` is one its adapter understands. Raises ConfigurationError."""
    if rule.kind == SANDBOX:
        return
    kind = KINDS.get(rule.kind)
    if kind is None:
        allowed = ", ".join((SANDBOX, *KINDS))
        raise ConfigurationError(f"suppliers.toml:{rule.name}.kind: is unknown; allowed: {allowed}")
    if kind.channel is not rule.channel:
        raise ConfigurationError(f"suppliers.toml:{rule.name}.channel: {rule.kind} carries {kind.channel}")
    checked_options(rule, kind.part("settings").Settings)


def make_supplier(context: Context) -> Supplier:
    """The supplier of a section; it connects by itself. Raises ConfigurationError. Call with a running event loop."""
    check(context.rule)
    supplier: Supplier = KINDS[context.rule.kind].part("supplier").build(context)
    return supplier


def make_reader(context: Context) -> WordReader | None:
    """The reader of a supplier's call-backs, None for one that tells otherwise. Raises ConfigurationError."""
    check(context.rule)
    reader: WordReader | None = KINDS[context.rule.kind].part("receipts").build(context)
    return reader
