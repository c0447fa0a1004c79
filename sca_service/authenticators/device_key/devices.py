"""A payer's devices as challenges meet them: whom a challenge asks, and whose request it is that comes in."""

from dataclasses import dataclass

from sca_service.authenticators.asked import asked_of
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.device_key.jws import BadSignature, named_key
from sca_service.authenticators.device_key.proof import verify_enrolment, verify_proof
from sca_service.authenticators.device_key.redis_store import ProofStore
from sca_service.authenticators.model import Asked, AuthenticatorState, AuthenticatorType
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.authenticators.sealed import device_of
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidProof, NotFound
from sca_service.kernel.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Device:
    """An active device that signed a request just now: its authenticator and its key."""

    row: AuthenticatorRow
    key: DeviceKey

    @property
    def actor(self) -> str:
        """What events call it by."""
        return f"device:{self.row.id}"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its proof has to cover it; `url` is absolute, as the device is told it."""

    method: str
    url: str
    body: bytes
    proof: str


class Devices:
    """Knows devices by their signatures. A class because it holds the stores."""

    def __init__(
        self, *, keyring: Keyring, store: AuthenticatorStore, proofs: ProofStore, clock: Clock
    ) -> None:
        self._keyring = keyring
        self._store = store
        self._proofs = proofs
        self._clock = clock

    async def asked(self, payer: str) -> Asked | None:
        """Which of a payer's devices a challenge asks, None when there is none. Raises StoreUnavailable, SealBroken."""
        rows = await self._store.active(payer, AuthenticatorType.DEVICE_KEY)
        return asked_of([(row.id, device_of(self._keyring, row).unlocked_by) for row in rows])

    async def authenticate(self, request: SignedRequest) -> Device:
        """The active device that signed this request. Raises InvalidProof for all else, StoreUnavailable, SealBroken.

        Each proof counts once, whichever replica it comes to (RFC 9449, section 11.1).
        """
        try:
            row = await self._store.of_anybody(named_key(request.proof))
            if row is None or row.type is not AuthenticatorType.DEVICE_KEY:
                raise InvalidProof
            if row.state is not AuthenticatorState.ACTIVE:
                raise InvalidProof
            key = device_of(self._keyring, row).key
            proof = verify_proof(
                request.proof,
                key,
                method=request.method,
                url=request.url,
                body=request.body,
                now_s=self._clock.now_ms() // 1000,
            )
        except BadSignature:
            raise InvalidProof from None
        await self._first_time(key, proof.jti)
        return Device(row, key)

    async def shown_key(self, request: SignedRequest, authenticator_id: str) -> DeviceKey:
        """The key of a device that is not known yet, which signed this request, to be this authenticator's.

        Whose device it is must be told by something else. Raises InvalidProof, StoreUnavailable; NotFound where there
        is no such device, before the proof is remembered: anybody can make a key and sign proofs without end.
        """
        try:
            key, proof = verify_enrolment(
                request.proof,
                method=request.method,
                url=request.url,
                body=request.body,
                now_s=self._clock.now_ms() // 1000,
            )
        except BadSignature:
            raise InvalidProof from None
        row = await self._store.of_anybody(authenticator_id)
        if row is None or row.type is not AuthenticatorType.DEVICE_KEY:
            raise NotFound
        await self._first_time(key, proof.jti)
        return key

    async def keeps(self, device: Device, challenge: str) -> bool:
        """Whether a device that signed for a challenge is active still; then it was used now.

        Raises StoreUnavailable.
        """
        return await self._store.claim_key(device.row, challenge)

    async def _first_time(self, key: DeviceKey, jti: str) -> None:
        if not await self._proofs.is_new(self._keyring.pseudonym("proof", key.thumbprint, jti)):
            raise InvalidProof
