"""What call-backs of SMS suppliers over HTTP have in common: the URL that they are given, and their parameters.

    https://sca.bank.example/receipts/kaleyra-eu?delivery=dlv_…&mac=…

The MAC is ours. It proves that whoever calls was given this very URL, which only the supplier of that delivery was.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from sca_service.delivery.channels.context import Context
from sca_service.delivery.supplier import CallBack
from sca_service.kernel.errors import ConfigurationError, InvalidInput, Unauthorized
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret

MOST_PARAMETERS: Final = 100
SHORTEST_SECRET: Final = 16
_MAC_BYTES: Final = 16

Parameters = Mapping[str, Sequence[str]]


class DeliveryUrls:
    """Makes and reads the URLs at which one supplier tells of a delivery. A class because it holds the key."""

    def __init__(self, *, supplier: str, public_url: str, keyring: Keyring) -> None:
        self._base = f"{public_url}/receipts/{supplier}"
        self._key = keyring.channel_key(f"receipts {supplier}")

    def named(self, delivery_id: str) -> str:
        """The URL of a delivery for a supplier that signs the URL it calls."""
        return f"{self._base}?{urlencode({'delivery': delivery_id})}"

    def proven(self, delivery_id: str) -> str:
        """The URL of a delivery that proves by itself that we made it."""
        return f"{self._base}?{urlencode({'delivery': delivery_id, 'mac': self._mac(delivery_id)})}"

    def delivery_of(self, query: Parameters) -> str:
        """The delivery of a proven URL's query. Raises Unauthorized when we did not make it."""
        delivery, mac = query.get("delivery", ()), query.get("mac", ())
        if len(delivery) != 1 or len(mac) != 1:
            raise Unauthorized("the call-back's URL is not ours")
        if not same(mac[0], self._mac(delivery[0])):
            raise Unauthorized("the call-back's URL is not ours")
        return delivery[0]

    def _mac(self, delivery_id: str) -> str:
        message = delivery_id.encode(errors="surrogatepass")
        return hmac.digest(self._key, message, "sha256")[:_MAC_BYTES].hex()


def shared_secret(context: Context, name: str) -> Secret[str]:
    """A secret that proves call-backs. Raises ConfigurationError for a short one: an empty one proves nothing."""
    secret = context.secret(name)
    if len(secret.reveal()) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"suppliers.toml:{context.rule.name}: the secret {name} needs {SHORTEST_SECRET} characters or more"
        )
    return secret


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing about them."""
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))


def query_of(call: CallBack) -> Parameters:
    """Every value of every parameter in a call-back's URL. Raises InvalidInput for more than a hundred."""
    return _parsed(urlsplit(call.url).query)


def form_of(call: CallBack) -> Parameters:
    """Every value of every field of a call-back's form; nothing for a body of another type. Raises InvalidInput."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        return _parsed(call.body.decode())
    except UnicodeDecodeError:
        raise InvalidInput.at("", "must be a form in UTF-8") from None


def single(parameters: Parameters, name: str) -> str:
    """The one value of a parameter, nothing without it.

    Raises InvalidInput when there are several: which of them counts would depend on who reads.
    """
    values = parameters.get(name, ())
    if len(values) > 1:
        raise InvalidInput.at(f"/{name}", "stands there more than once")
    return values[0] if values else ""


def _parsed(text: str) -> Parameters:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise InvalidInput.at("", "has more parameters than any call-back") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
