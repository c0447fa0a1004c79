"""How Google knows us: a service account signs a claim, Google's authorisation server answers with an access key.

Source: RFC 7523 (JWT bearer grant); Google, "Using OAuth 2.0 for Server to Server Applications".
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import msgspec

from sca_service.delivery.channels.rsa_jwt import RsaJwtSigner
from sca_service.delivery.http_client import HttpClient, check_base_url, failure_of, read_json
from sca_service.delivery.supplier import FailureReason, SupplierFailure
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret

_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLAIM_SECONDS: Final = 3600
_SPARE_MS: Final = 120_000
"""An access key is renewed so long before it ends, for clocks that differ and calls under way."""


class ServiceAccount(msgspec.Struct, frozen=True):
    """What we need of the JSON file that Google gives for a service account."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    auth_uri: str = msgspec.field(name="token_uri", default="https://oauth2.googleapis.com/token")

    @classmethod
    def parse(cls, text: Secret[str], *, section: str) -> "ServiceAccount":
        """Read the file's JSON. Raises ConfigurationError, which quotes none of it."""
        try:
            account = msgspec.json.decode(text.reveal(), type=cls)
            check_base_url(account.auth_uri)
        except (ValueError, msgspec.DecodeError):
            message = f"suppliers.toml:{section}: its service account is not the JSON that Google gives"
            raise ConfigurationError(message) from None
        return account

    def __repr__(self) -> str:
        return "ServiceAccount()"


class _Granted(msgspec.Struct, frozen=True):
    access: str = msgspec.field(name="access_token")
    expires_in: int = 0


@dataclass(frozen=True, slots=True)
class _Access:
    authorization: Secret[str]
    ends_at_ms: int


class GoogleAccess:
    """The header that Google's APIs want. A class because it keeps the access key until it ends."""

    def __init__(
        self, account: ServiceAccount, *, scope: str, section: str, http: HttpClient, clock: Clock
    ) -> None:
        """`section` of `suppliers.toml` is named in errors. Raises ConfigurationError."""
        self._email = account.client_email
        self._url = account.auth_uri
        self._key_id = account.private_key_id
        self._signer = RsaJwtSigner(Secret(account.private_key), section=section)
        self._scope = scope
        self._http = http
        self._clock = clock
        self._access: _Access | None = None
        self._asking = asyncio.Lock()

    async def authorization(self) -> Secret[str]:
        """The value of `Authorization`; asked for once by all who wait for it.

        Raises SupplierFailure (`supplier_down`, transient): no message was handed over yet.
        """
        async with self._asking:
            if self._access is None or self._clock.now_ms() >= self._access.ends_at_ms:
                self._access = await self._ask()
            return self._access.authorization

    def forget(self, refused: Secret[str]) -> None:
        """Ask anew next time: Google refused this one."""
        if self._access and self._access.authorization is refused:
            self._access = None

    async def _ask(self) -> _Access:
        now_ms = self._clock.now_ms()
        claims = {
            "iss": self._email,
            "scope": self._scope,
            "aud": self._url,
            "iat": now_ms // 1000,
            "exp": now_ms // 1000 + _CLAIM_SECONDS,
        }
        signed = self._signer.sign(claims, key_id=self._key_id)
        try:
            answer = await self._http.call(
                "POST",
                self._url,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode({"grant_type": _GRANT, "assertion": signed.reveal()}).encode(),
            )
            if failure := failure_of(answer):
                raise failure
            granted = read_json(answer, _Granted)
        except SupplierFailure as failure:
            raise SupplierFailure(
                FailureReason.SUPPLIER_DOWN, transient=True, retry_after_ms=failure.retry_after_ms
            ) from None
        return _Access(
            Secret(f"Bearer {granted.access}"), now_ms + max(granted.expires_in * 1000 - _SPARE_MS, 0)
        )
