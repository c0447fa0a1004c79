"""Where a bank's passkeys are good: the domain that they are bound to, and the pages that may ask for them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Site:
    """The bank's domain (WebAuthn calls it the RP ID), and the origins of its pages."""

    rp_id: str
    origins: tuple[str, ...]


def read_site(content: Mapping[str, object], mistakes: list[str]) -> Site | None:
    """The section `[passkeys]` of the configuration; None where it is left out. Notes what is wrong with it."""
    if not content:
        return None
    rp_id, origins = content.get("rp_id"), content.get("origins")
    if not isinstance(rp_id, str) or not _DOMAIN.fullmatch(rp_id):
        mistakes.append("passkeys.rp_id: must be a domain, in lower case and without a port")
    if not isinstance(origins, list) or not origins or not all(_is_below(rp_id, one) for one in origins):
        mistakes.append(
            "passkeys.origins: must be origins such as https://pay.bank.example, each of rp_id or below it"
        )
        return None
    return Site(str(rp_id), tuple(origins))


def _is_below(domain: object, origin: object) -> bool:
    """Whether a browser lets pages of this origin use the domain's passkeys (WebAuthn section 5.1.3)."""
    found = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
    if found is None:
        return False
    is_below = found["host"] == domain or found["host"].endswith(f".{domain}")
    return is_below and (found["scheme"] == "https" or found["host"] == "localhost")
