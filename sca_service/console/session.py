"""Who is signed in at the desk: sealed into a cookie, and checked with every request.

The cookie holds no API key. It names the key's hash, so that a session ends with the key: when that is revoked or
rotated out, when the client loses the scope, after eight hours, or when the auditor signs out.
"""

import hmac
from dataclasses import dataclass

import msgspec

from sca_service.api.certificates.model import Certificate
from sca_service.api.clients import Client, ClientDirectory, Scope
from sca_service.console.redis_store import EndedSessions
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import Forbidden, Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, SealBroken

SESSION_SECONDS = 8 * 3600
"""A working day; after it the auditor signs in anew."""

COOKIE = "sca_desk"
_RECORD = "desk session"


class _Sealed(msgspec.Struct, frozen=True):
    id: str
    client: str
    key_hash: bytes
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """An auditor or an operator at the desk. `form_value` stands in each form of theirs, and in nobody else's."""

    id: str
    client: Client
    expires_at_ms: int
    form_value: str


class Sessions:
    """Opens, reads and ends sessions. A class because it holds the clients and the keys."""

    def __init__(
        self, directory: ClientDirectory, keyring: Keyring, clock: Clock, ended: EndedSessions
    ) -> None:
        self._directory = directory
        self._keyring = keyring
        self._clock = clock
        self._ended = ended

    def begin(self, api_key: str, certificate: Certificate | None = None) -> str:
        """The cookie of a new session. Raises Unauthorized, Forbidden, StoreUnavailable."""
        client = self._directory.authenticate(f"Bearer {api_key}", certificate)
        _check_may_enter(client)
        sealed = _Sealed(
            new_id("dsk"),
            client.id,
            self._keyring.key_hash(api_key),
            self._clock.now_ms() + SESSION_SECONDS * 1000,
        )
        return self._keyring.seal(msgspec.json.encode(sealed), _RECORD)

    async def read(self, cookie: str | None, certificate: Certificate | None = None) -> Session:
        """The session of a cookie, as long as its key, with this certificate, is valid for the desk.

        Raises Unauthorized, StoreUnavailable.
        """
        try:
            sealed = msgspec.json.decode(self._keyring.open(cookie or "", _RECORD), type=_Sealed)
            client = self._directory.client_of(sealed.key_hash, certificate)
            _check_may_enter(client)
        except (SealBroken, msgspec.DecodeError, Forbidden) as error:
            raise Unauthorized("nobody is signed in") from error
        is_over = sealed.expires_at_ms <= self._clock.now_ms() or client.id != sealed.client
        if is_over or await self._ended.holds(sealed.id):
            raise Unauthorized("the session is over")
        return Session(sealed.id, client, sealed.expires_at_ms, self._form_value(sealed.id))

    async def end(self, session: Session) -> None:
        """Whoever kept a copy of the cookie has nothing any more. Raises StoreUnavailable."""
        await self._ended.add(session.id, SESSION_SECONDS)

    def _form_value(self, session_id: str) -> str:
        return hmac.digest(self._keyring.channel_key("desk form"), session_id.encode(), "sha256").hex()


def _check_may_enter(client: Client) -> None:
    """Raises Forbidden for who is neither an auditor nor an operator who may see figures: no bank's key signs in."""
    client.needs(Scope.AUDIT, Scope.ADMIN)
    if Scope.AUDIT not in client.scopes:
        client.needs(Scope.ANALYTICS)


def check_form(session: Session, sent: str) -> None:
    """Raises Forbidden when a form does not come from a page of this session."""
    if not hmac.compare_digest(session.form_value.encode(), sent.encode()):
        raise Forbidden("the form was not sent from a page of this session")
