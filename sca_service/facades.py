"""The facades of other services' APIs, put together for the HTTP application."""

from typing import Any

from sca_service.api.device_door import DeviceDoor
from sca_service.api.idempotency import Idempotency
from sca_service.api.redis_store import IdempotencyStore
from sca_service.challenges.authentication_code import AuthenticationCodeSigner
from sca_service.challenges.issue import Issuer
from sca_service.challenges.verify import Verifier
from sca_service.compat.camara import routes as camara_routes
from sca_service.compat.camara.operations import CamaraOperations
from sca_service.compat.ciba import routes as ciba_routes
from sca_service.compat.ciba.operations import CibaOperations
from sca_service.compat.issuer import routes as issuer_routes
from sca_service.compat.issuer.hooks import IssuerHooks
from sca_service.compat.twilio import routes as twilio_routes
from sca_service.compat.twilio.operations import TwilioOperations
from sca_service.core import Core
from sca_service.kernel.addresses import Proxies
from sca_service.kernel.facades import Facade, Facades
from sca_service.limits.redis_store import LimitStore
from sca_service.webhooks.postgres_store import EndpointStore

_ROUTES: dict[Facade, tuple[Any, ...]] = {
    Facade.CAMARA: camara_routes.ROUTES,
    Facade.TWILIO: twilio_routes.ROUTES,
    Facade.CIBA: ciba_routes.ROUTES,
    Facade.ISSUER: issuer_routes.ROUTES,
}


def facade_routes(facades: Facades) -> list[Any]:
    """The routes of the facades that are open; none of them is part of this service's own API document."""
    return [route for facade in Facade if facade in facades.opened for route in _ROUTES[facade]]


def facade_dependencies(core: Core, issuer: Issuer, verifier: Verifier) -> dict[str, object]:
    """What the facades' routes ask for, by name."""
    policy, keyring = core.policy, core.settings.keyring
    return {
        "camara": CamaraOperations(policy=policy, keyring=keyring, issuer=issuer, verifier=verifier),
        "twilio": TwilioOperations(
            policy=policy,
            keyring=keyring,
            issuer=issuer,
            verifier=verifier,
            follower=core.follower(),
            clock=core.clock,
            url=core.settings.receipts_url,
            forgets=core.settings.facades.twilio_forgets,
        ),
        "ciba": CibaOperations(
            keyring=keyring,
            issuer=issuer,
            follower=core.follower(),
            signer=AuthenticationCodeSigner(keyring, core.settings.issuer),
            limits=LimitStore(core.redis),
            clock=core.clock,
        ),
        "issuer_hooks": IssuerHooks(
            endpoints=EndpointStore(core.postgres),
            issuer=issuer,
            idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
            door=DeviceDoor(
                policy=policy,
                keyring=keyring,
                limits=LimitStore(core.redis),
                proxies=Proxies(core.settings.trusted_proxies),
            ),
            keyring=keyring,
            clock=core.clock,
        ),
    }
