"""A link in an alert: 20 characters that say nothing of anybody, and that only we can make.

    <9 bytes: a pseudonym of the alert> <6 bytes: a MAC over them>, base64url

So what somebody guesses is refused without a look into the database. A link leads on while it is not over. Clicks are
counted, but not those of machines that look ahead: they say so themselves, or only ask for the headers.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from sca_service.alerts.model import NewLink
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.policy.notice_rules import LinkRule

LONGEST_URL: Final = 2_000
_DAY_MS: Final = 86_400_000
_NAMED_BYTES: Final = 9
_MAC_BYTES: Final = 6
_ID: Final = re.compile(r"[A-Za-z0-9_-]{20}", re.ASCII)
_URL: Final = re.compile(r"https://[\x21-\x7e]+", re.ASCII)
_MACHINES: Final = re.compile(
    r"bot\b|bot/|crawl|spider|preview|facebookexternalhit|whatsapp|skypeuripreview|slurp|embedly|vkshare|python|curl|wget"
    r"|headless|scanner|monitor|\burl\b",
    re.IGNORECASE,
)
_LOOKS_AHEAD: Final = ("purpose", "sec-purpose", "x-purpose", "x-moz")
_AHEAD: Final = re.compile(r"prefetch|preview|prerender", re.IGNORECASE)


def link_id(keyring: Keyring, alert_id: str) -> str:
    """What stands in an alert's link: always the same for one alert."""
    named = bytes.fromhex(keyring.pseudonym("alert link", alert_id))[:_NAMED_BYTES]
    return base64.urlsafe_b64encode(named + _mac(keyring, named)).decode()


def is_link_id(keyring: Keyring, text: str) -> bool:
    """Whether we made it."""
    if not _ID.fullmatch(text):
        return False
    try:
        raw = base64.urlsafe_b64decode(text)
    except binascii.Error:
        return False
    return hmac.compare_digest(raw[_NAMED_BYTES:], _mac(keyring, raw[:_NAMED_BYTES]))


def new_link(keyring: Keyring, rule: LinkRule, alert_id: str, url: str) -> NewLink:
    """The link of an alert to a URL that `checked_url` has passed."""
    link = link_id(keyring, alert_id)
    return NewLink(link, keyring.seal(url.encode(), link), rule.keep_days * _DAY_MS)


def checked_url(rule: LinkRule, url: str) -> str:
    """The same URL. Raises InvalidInput unless it is https, to a host that the policy allows, and nothing else."""
    if len(url) > LONGEST_URL or not _URL.fullmatch(url) or "\\" in url:
        raise InvalidInput.at(
            "", f"must be a URL that begins with https://, at most {LONGEST_URL} characters of ASCII"
        )
    try:
        parts = urlsplit(url)
        is_plain = parts.username is None and parts.password is None and parts.port in (None, 443)
        host = parts.hostname or ""
    except ValueError:
        raise InvalidInput.at("", "must be a URL") from None
    if not is_plain or not rule.allows(host):
        raise InvalidInput.at(
            "", "must lead to a host that the policy allows, without a name, password or port"
        )
    return url


def is_person(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request looks like somebody's tap, as far as one can tell; `headers` by names in lower case."""
    if method != "GET" or any(_AHEAD.search(headers.get(name, "")) for name in _LOOKS_AHEAD):
        return False
    agent = headers.get("user-agent", "")
    return bool(agent) and not _MACHINES.search(agent)


def _mac(keyring: Keyring, named: bytes) -> bytes:
    return bytes.fromhex(keyring.pseudonym("alert link mac", named.hex()))[:_MAC_BYTES]
