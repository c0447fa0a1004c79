"""The facades of other services' APIs, put together for the HTTP application."""

from typing import Any

from sca_service.challenges.issue import Issuer
from sca_service.challenges.verify import Verifier
from sca_service.compat.camara import routes as camara_routes
from sca_service.compat.camara.operations import CamaraOperations
from sca_service.compat.twilio import routes as twilio_routes
from sca_service.compat.twilio.operations import TwilioOperations
from sca_service.core import Core
from sca_service.kernel.facades import Facade, Facades

_ROUTES: dict[Facade, tuple[Any, ...]] = {
    Facade.CAMARA: camara_routes.ROUTES,
    Facade.TWILIO: twilio_routes.ROUTES,
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
    }
