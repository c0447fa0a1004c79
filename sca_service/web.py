"""The HTTP application of the api role, put together: every operation with all it needs, by hand."""

from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig

from sca_service import __version__
from sca_service.alerts.deliveries import Deliveries
from sca_service.analytics.reading.answer import Analytics
from sca_service.analytics.reading.postgres_store import FigureStore
from sca_service.api import alert_consents as alert_consent_routes
from sca_service.api import alert_links as alert_link_routes
from sca_service.api import alerts as alert_routes
from sca_service.api import analytics as analytics_routes
from sca_service.api import audit as audit_routes
from sca_service.api import audit_export as audit_export_routes
from sca_service.api import authenticators as authenticator_routes
from sca_service.api import blocks as block_routes
from sca_service.api import cards as card_routes
from sca_service.api import challenge_events as challenge_event_routes
from sca_service.api import challenges as challenge_routes
from sca_service.api import devices as device_routes
from sca_service.api import evidence as evidence_routes
from sca_service.api import exemptions as exemption_routes
from sca_service.api import log as log_routes
from sca_service.api import operation_routes, sandbox
from sca_service.api import payers as payer_routes
from sca_service.api import push_subscriptions as push_subscription_routes
from sca_service.api import receipts as receipt_routes
from sca_service.api import risk_listings as risk_listing_routes
from sca_service.api import trusted_beneficiaries as beneficiary_routes
from sca_service.api import webhooks as webhook_routes
from sca_service.api.authenticator_operations import AuthenticatorOperations
from sca_service.api.authorisations import Authorisations
from sca_service.api.client_door import ClientDoor
from sca_service.api.device_door import DeviceDoor
from sca_service.api.document import KEYED
from sca_service.api.front import Front
from sca_service.api.idempotency import Idempotency
from sca_service.api.json_body import MOST_BYTES
from sca_service.api.methods import tellers
from sca_service.api.oauth import routes as oauth_routes
from sca_service.api.operations import ChallengeOperations, PayerOperations
from sca_service.api.postgres_store import EventReader
from sca_service.api.receipts import ReceiptOperations
from sca_service.api.redis_store import IdempotencyStore
from sca_service.api.routes import StrictRequest, on_exception
from sca_service.audit.export.exporter import Exporter
from sca_service.audit.export.postgres_store import LeafStore
from sca_service.audit.postgres_store import StoryReader
from sca_service.challenges.authentication_code import (
    AuthenticationCodeReader,
    AuthenticationCodeSigner,
    public_keys,
)
from sca_service.challenges.device_answers import DeviceAnswers
from sca_service.challenges.evaluate import Evaluator
from sca_service.challenges.issue import Issuer
from sca_service.challenges.linked import LinkedTransactions
from sca_service.challenges.payers import Payers
from sca_service.challenges.phone_lines import PhoneLines
from sca_service.challenges.verify import Verifier
from sca_service.console import routes as console_routes
from sca_service.console.bank import routes as bank_routes
from sca_service.console.bank.keys import SandboxKeys
from sca_service.console.desk import Desk
from sca_service.console.door import Door
from sca_service.console.postgres_store import DeskStore
from sca_service.console.redis_store import EndedSessions
from sca_service.console.session import Sessions
from sca_service.console.traffic.desk import TrafficDesk
from sca_service.core import Core
from sca_service.desks import pumping_desk, told_and_heard
from sca_service.entrance import ClientEntrance
from sca_service.exemptions.analysis import RiskAnalysis
from sca_service.exemptions.beneficiaries.postgres_store import BeneficiaryStore
from sca_service.exemptions.beneficiaries.trusted import TrustedBeneficiaries
from sca_service.exemptions.desk import ExemptionDesk
from sca_service.exemptions.postgres_store import AssessmentStore
from sca_service.exemptions.reports.fraud import FraudFigures
from sca_service.exemptions.reports.postgres_store import FraudStore
from sca_service.facades import facade_dependencies, facade_routes
from sca_service.kernel.addresses import Proxies
from sca_service.kernel.stopping import Stop
from sca_service.kernel.turns import Turns
from sca_service.limits.calm import Calm
from sca_service.limits.redis_store import LimitStore
from sca_service.readiness import readiness
from sca_service.risk.assessor import Assessor
from sca_service.risk.listings import Listings
from sca_service.risk.postgres_store import MarkStore
from sca_service.sandbox.mailbox import AsyncMailbox
from sca_service.sandbox.supplier.settings import sandbox_names
from sca_service.supply import open_readers

_ALERT_ROUTES = (
    *alert_routes.ROUTES,
    *card_routes.ROUTES,
    *alert_consent_routes.ROUTES,
    *alert_link_routes.ROUTES,
)


def issuer(core: Core, assessor: Assessor) -> Issuer:
    """What issues challenges."""
    return Issuer(
        policy=core.policy,
        keyring=core.settings.keyring,
        store=core.store,
        limits=LimitStore(core.redis),
        recorder=core.recorder,
        asker=core.asker(),
        assessor=assessor,
        guard=core.pumping_guard(),
        traces=core.traces,
    )


def verifier(core: Core, assessor: Assessor) -> Verifier:
    """What verifies answers."""
    keyring, limits = core.settings.keyring, LimitStore(core.redis)
    return Verifier(
        policy=core.policy,
        keyring=keyring,
        store=core.store,
        archive=core.archive,
        recorder=core.recorder,
        signer=AuthenticationCodeSigner(keyring, core.settings.issuer),
        conversions=core.router,
        evaluator=Evaluator(
            keyring=keyring,
            store=core.store,
            generators=core.generators(),
            pins=core.pins(),
            passkeys=core.passkeys(),
        ),
        uses=core.generators(),
        assessor=assessor,
        limits=limits,
        calm=Calm(limits, keyring),
        guard=core.pumping_guard(),
        traces=core.traces,
        clock=core.clock,
    )


def challenge_operations(core: Core, assessor: Assessor) -> ChallengeOperations:
    """The operations on challenges, with all they need."""
    keyring = core.settings.keyring
    return ChallengeOperations(
        issuer=issuer(core, assessor),
        verifier=verifier(core, assessor),
        follower=core.follower(),
        signer=AuthenticationCodeSigner(keyring, core.settings.issuer),
        idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
        keyring=keyring,
        clock=core.clock,
    )


def authenticator_operations(core: Core, assessor: Assessor) -> AuthenticatorOperations:
    """The operations on authenticators, with all they need."""
    keyring = core.settings.keyring
    return AuthenticatorOperations(
        enrolment=core.enrolment(),
        authorisations=authorisations(core),
        follower=core.follower(),
        lines=PhoneLines(issuer(core, assessor), verifier(core, assessor)),
        idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
        limits=LimitStore(core.redis),
        keyring=keyring,
        policy=core.policy,
        device_url=core.settings.device_url,
    )


def authorisations(core: Core) -> Authorisations:
    """What reads the approvals that payers' changes need."""
    return Authorisations(AuthenticationCodeReader(core.settings.keyring, core.settings.issuer), core.clock)


def device_operations(core: Core, assessor: Assessor) -> device_routes.DeviceOperations:
    """The operations of devices, with all they need."""
    keyring = core.settings.keyring
    return device_routes.DeviceOperations(
        devices=core.signing_devices(),
        enrolment=core.enrolment(),
        answers=DeviceAnswers(
            policy=core.policy,
            keyring=keyring,
            store=core.store,
            archive=core.archive,
            recorder=core.recorder,
            devices=core.signing_devices(),
            assessor=assessor,
            traces=core.traces,
            clock=core.clock,
        ),
        door=DeviceDoor(
            policy=core.policy,
            keyring=keyring,
            limits=LimitStore(core.redis),
            proxies=Proxies(core.settings.trusted_proxies),
        ),
        url=core.settings.device_url,
        clock=core.clock,
    )


def web_application(core: Core, entrance: ClientEntrance, mailbox: AsyncMailbox | None, stop: Stop) -> Front:
    """The HTTP application of the api role; with the sandbox's endpoints when there is a mailbox.

    When `stop` has begun it is not ready any more.
    """
    assessor = core.assessor()  # one for all: it holds the key to the operators, and knows when they rest
    challenges, devices = challenge_operations(core, assessor), device_operations(core, assessor)
    book = core.deliveries("api")
    turns = Turns()
    door = entrance.door
    dependencies: dict[str, object] = {
        "challenges": challenges,
        "devices": devices,
        "challenge_streams": challenge_event_routes.ChallengeStreams(challenges, stop.drained),
        **_dependencies(core, assessor, book, turns),
        "readiness": operation_routes.until_stopped(lambda: readiness(core), stop),
        **_desk(core, door),
        **_exemptions(core, assessor),
        **facade_dependencies(core, issuer(core, assessor), verifier(core, assessor)),
    }
    routes = [*_routes(), *facade_routes(core.settings.facades)]
    if entrance.oauth:
        routes += oauth_routes.ROUTES
        dependencies["oauth"] = entrance.oauth
    if mailbox and (folder := core.settings.sandbox_folder):
        routes = [route for route in routes if route is not operation_routes.front_door]
        routes += [*sandbox.ROUTES, *bank_routes.ROUTES]
        dependencies["sandbox_keys"] = SandboxKeys(folder / "sandbox.json")
        dependencies["sandbox"] = _sandbox(core, mailbox, book)
    framework = Litestar(
        [*tellers(routes), *routes],
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        request_class=StrictRequest,
        request_max_body_size=MOST_BYTES,
        exception_handlers={Exception: on_exception},
        openapi_config=OpenAPIConfig(
            title="SCA service", version=__version__, path="/openapi", render_plugins=[], components=KEYED
        ),
        state=State({"clients": door, "turns": turns}),
        logging_config=None,
    )
    return Front(framework, door, challenges, devices, turns)


def _routes() -> list[Any]:
    """Every route but those of the sandbox, in the order of the API's document."""
    return [
        *challenge_routes.ROUTES,
        *challenge_event_routes.ROUTES,
        *payer_routes.ROUTES,
        *block_routes.ROUTES,
        *push_subscription_routes.ROUTES,
        *authenticator_routes.ROUTES,
        *device_routes.ROUTES,
        *exemption_routes.ROUTES,
        *beneficiary_routes.ROUTES,
        *risk_listing_routes.ROUTES,
        *_ALERT_ROUTES,
        *analytics_routes.ROUTES,
        *webhook_routes.ROUTES,
        *audit_routes.ROUTES,
        *log_routes.ROUTES,
        *audit_export_routes.ROUTES,
        *evidence_routes.ROUTES,
        *console_routes.ROUTES,
        *receipt_routes.ROUTES,
        *operation_routes.ROUTES,
    ]


def _dependencies(core: Core, assessor: Assessor, book: Deliveries, turns: Turns) -> dict[str, object]:
    """What the framework's routes ask for, by name."""
    keyring = core.settings.keyring
    receipts = core.receipts(book)
    readers = open_readers(core.supply, core.surroundings(receipts))
    return {
        "payers": PayerOperations(
            Payers(policy=core.policy, keyring=keyring, store=core.store, recorder=core.recorder)
        ),
        "blocks": block_routes.BlockOperations(pumping_desk(core), core.policy, keyring),
        "authenticators": authenticator_operations(core, assessor),
        "push_subscriptions": push_subscription_routes.PushSubscriptionOperations(
            subscriptions=core.devices(),
            idempotency=Idempotency(IdempotencyStore(core.redis), keyring),
            policy=core.policy,
            push_services=push_subscription_routes.push_services(core.supply.suppliers),
        ),
        **told_and_heard(core, turns),
        "analytics": analytics_routes.AnalyticsOperations(
            Analytics(FigureStore(core.reader), core.policy.analytics), core.clock
        ),
        "audit": audit_routes.AuditOperations(
            EventReader(core.reader), keyring, core.log_reader, core.readings()
        ),
        "log_reader": core.log_reader,
        "exports": audit_export_routes.AuditExports(
            Exporter(LeafStore(core.reader), core.writer, core.clock), LeafStore(core.reader), keyring
        ),
        "evidence": evidence_routes.EvidenceOperations(core.evidence(), core.readings()),
        "receipts": ReceiptOperations(readers, receipts, book, core.settings.receipts_url),
        "public_keys": public_keys(keyring),
    }


def _sandbox(core: Core, mailbox: AsyncMailbox, book: Deliveries) -> sandbox.SandboxOperations:
    return sandbox.SandboxOperations(mailbox, book, sandbox_names(core.supply.suppliers))


def _desk(core: Core, clients: ClientDoor) -> dict[str, object]:
    """What the auditor's desk asks for, by name."""
    keyring = core.settings.keyring
    sessions = Sessions(clients.directory, keyring, core.clock, EndedSessions(core.redis))
    return {
        "door": Door(
            sessions,
            LimitStore(core.redis),
            keyring,
            Proxies(core.settings.trusted_proxies),
            clients.certificates,
        ),
        "traffic": TrafficDesk(
            analytics=Analytics(FigureStore(core.reader), core.policy.analytics),
            blocks=pumping_desk(core),
            clock=core.clock,
        ),
        "desk": Desk(
            log=core.log_reader,
            events=EventReader(core.reader),
            stories=StoryReader(core.reader),
            store=DeskStore(core.reader),
            vault=core.vault,
            readings=core.readings(),
            keyring=keyring,
            clock=core.clock,
        ),
    }


def _exemptions(core: Core, assessor: Assessor) -> dict[str, object]:
    """What the routes of exemptions ask for, by name."""
    keyring = core.settings.keyring
    idempotency = Idempotency(IdempotencyStore(core.redis), keyring)
    figures = FraudFigures(
        policy=core.policy.exemptions,
        store=FraudStore(core.postgres),
        clock=core.clock,
        memory=core.risk_store(),
        report_days=core.policy.risk.memory.report_days,
    )
    desk = ExemptionDesk(
        policy=core.policy,
        keyring=keyring,
        store=AssessmentStore(core.postgres),
        risk=RiskAnalysis(assessor, keyring),
        fraud=figures,
        challenges=LinkedTransactions(core.store, core.archive),
        clock=core.clock,
    )
    return {
        "listings": risk_listing_routes.ListingOperations(
            Listings(
                store=MarkStore(core.postgres),
                memory=core.risk_store(),
                keyring=keyring,
                clock=core.clock,
            ),
            idempotency,
            core.policy,
        ),
        "exemptions": exemption_routes.ExemptionOperations(
            desk=desk, figures=figures, idempotency=idempotency, policy=core.policy
        ),
        "beneficiaries": beneficiary_routes.BeneficiaryOperations(
            trusted=TrustedBeneficiaries(
                store=BeneficiaryStore(core.postgres), keyring=keyring, clock=core.clock
            ),
            authorisations=authorisations(core),
            idempotency=idempotency,
            policy=core.policy,
        ),
    }


def _provide(value: object) -> Provide:
    return Provide(lambda: value, use_cache=True, sync_to_thread=False)
