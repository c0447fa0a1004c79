"""Which other services' APIs this one answers beside its own: the section `[compat]` of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Facade(StrEnum):
    """An API that others defined."""

    CAMARA = "camara"  # one-time-password-sms 1.1
    TWILIO = "twilio"  # Verify v2
    CIBA = "ciba"  # OpenID CIBA Core 1.0, poll mode
    ISSUER = "issuer"  # card processors' out-of-band challenges


FACADE_SETTINGS = frozenset({"facades", "twilio_forgets"})


@dataclass(frozen=True, slots=True)
class Facades:
    """The facades that are open; none unless they are named.

    `twilio_forgets` claims that a verification which is over is answered with 404, as Twilio does.
    """

    opened: frozenset[Facade] = frozenset()
    twilio_forgets: bool = False


def read_facades(content: Mapping[str, object], mistakes: list[str]) -> Facades:
    """The section `[compat]`. Notes what is wrong with it."""
    named = content.get("facades", [])
    if not isinstance(named, list) or not all(one in tuple(Facade) for one in named):
        mistakes.append(f"compat.facades: must be a list of {', '.join(Facade)}")
        return Facades()
    forgets = content.get("twilio_forgets", False)
    if not isinstance(forgets, bool):
        mistakes.append("compat.twilio_forgets: must be true or false")
    return Facades(frozenset(map(Facade, named)), forgets is True)
