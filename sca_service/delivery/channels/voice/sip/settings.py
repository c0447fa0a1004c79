"""What a SIP trunk's section of `suppliers.toml` holds.

Its secret is `SCA_SUPPLIER_<NAME>_PASSWORD`, needed only with `auth_user`.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

_Host = Annotated[str, msgspec.Meta(max_length=253, pattern=r"^[A-Za-z0-9.:_-]*$")]
_NeededHost = Annotated[str, msgspec.Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Transport(StrEnum):
    """How SIP messages travel to the trunk."""

    UDP = "udp"
    TCP = "tcp"


class Codec(StrEnum):
    """How sound is written in RTP (RFC 3551): G.711 as Europe and most of the world has it, and as North America."""

    PCMA = "PCMA"
    PCMU = "PCMU"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of kind `sip`."""

    trunk_host: _NeededHost
    """Name or address of the trunk: every SIP message goes there, and none is taken from elsewhere."""

    caller: Annotated[str, msgspec.Meta(pattern=r"^\+?[A-Za-z0-9._-]{1,64}$")]
    """Who calls, where no sender is registered: the number that the trunk lets us show, or the account's name."""

    trunk_port: _Port = 5060
    transport: Transport = Transport.UDP

    domain: _Host = ""
    """What stands behind the `@` of the called number; the trunk's host when empty."""

    caller_domain: _Host = ""
    """What stands behind the `@` of the caller; our own address when empty."""

    number_prefix: Annotated[str, msgspec.Meta(pattern=r"^\+?[0-9]{0,6}$")] = "+"
    """Written before the digits of a called number: `+` (E.164), `00`, or nothing."""

    auth_user: Annotated[str, msgspec.Meta(max_length=128, pattern=r'^[^"\\\r\n]*$')] = ""
    """Name for digest authentication (RFC 7616); empty where the trunk knows us by our address."""

    local_address: _Host = ""
    """The address that calls and sound leave from; the one of the route to the trunk when empty."""

    local_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """The port of SIP on our side; any free one when 0. A fixed one serves one worker a machine."""

    public_address: _Host = ""
    """What we call ourselves towards the trunk, when a NAT stands between."""

    rtp_port_first: Annotated[int, msgspec.Meta(ge=1024, le=65_535)] = 40_000
    rtp_port_last: Annotated[int, msgspec.Meta(ge=1024, le=65_535)] = 40_199
    """Sound uses the even ports from the first to the last; each call holds one."""

    most_calls: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50
    """Calls at once in one worker; what is more goes to the next supplier."""

    ring_seconds: Annotated[int, msgspec.Meta(ge=5, le=120)] = 25
    """How long it may ring; less than the payers' mailboxes wait is best."""

    call_seconds: Annotated[int, msgspec.Meta(ge=20, le=600)] = 150
    """The longest a call may last once it is answered."""

    press_any_key: bool = False
    """Say no code before a key was pressed: the sure way past answering machines, at the price of a step more."""

    codecs: Annotated[tuple[Codec, ...], msgspec.Meta(min_length=1, max_length=2)] = (Codec.PCMA, Codec.PCMU)
    """What is offered, the best first."""

    words_per_minute: Annotated[int, msgspec.Meta(ge=80, le=260)] = 140
    speech_programs: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    """How many texts are turned into speech at once; each is a process of espeak-ng for some 50 ms."""

    def __post_init__(self) -> None:
        """Ports for all calls, and codecs told once. Raises ValueError, which msgspec reports as a mistake."""
        if self.rtp_port_last < self.rtp_port_first + 1:
            raise ValueError("`rtp_port_last` has to lie above `rtp_port_first`")
        if len(self.rtp_ports) < self.most_calls:
            raise ValueError(f"`most_calls` needs {self.most_calls} even ports between the RTP ports")
        if len(set(self.codecs)) < len(self.codecs):
            raise ValueError("`codecs` names one twice")

    @property
    def rtp_ports(self) -> range:
        """The ports of sound, one a call; the odd one above each stays free for RTCP (RFC 3550 section 11)."""
        return range(self.rtp_port_first + self.rtp_port_first % 2, self.rtp_port_last, 2)
