"""The running service against its own OpenAPI document: requests made up from its schemas, right and wrong ones.

Whatever is sent, the service does not fail, answers with a status, a media type and a body that it documents, asks for
its keys, refuses what the document does not allow, and tells of every fault in a problem document. The requests are
the same in each run.
"""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core import NOT_SET
from schemathesis.generation import GenerationMode

from tests.harness import TRANSACTION, Deployment, order

EXAMPLES = 16
FUZZED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LEFT_OUT = {
    "positive_data_acceptance": "the document does not tell all that forms ask, such as the sum of an IBAN",
    "use_after_free": "looks at calls that follow each other; tests/service has them for what can be deleted",
    "ensure_resource_availability": "the same for what was made: the tests of each resource ask for it",
    "object_level_authorization": "wants peers of its own; `other-bank` asks for foreign things in tests/service",
}
"""Those of Schemathesis's checks that are not made, and why."""
load_all_checks()
MADE = [name for name in CHECKS.get_all_names() if name not in LEFT_OUT]
HOLDERS = {
    "challenges": "bank",
    "authenticators": "bank",
    "exemptions": "bank",
    "alerts": "issuer",
    "admin": "operator",
    "analytics": "operator",
    "audit": "auditor",
}
OPERATIONS = (
    "assess_exemption", "get_exemption", "report_executed", "cancel_exemption", "report_fraud", "get_fraud_rates",
    "get_quarterly_report", "add_trusted_beneficiary", "list_trusted_beneficiaries", "remove_trusted_beneficiary",
    "get_fraud_report", "withdraw_fraud_report", "put_risk_listing", "list_risk_listings", "remove_risk_listing",
    "create_challenge", "list_challenges", "get_challenge", "get_evidence", "verify_challenge", "next_channel",
    "cancel_challenge", "follow_challenge",
    "resynchronise_authenticator", "suspend_authenticator", "resume_authenticator",
    "device_activate", "device_challenges", "device_challenge", "device_answer",
    "enrol_authenticator", "activate_authenticator", "list_authenticators", "revoke_authenticator",
    "add_push_subscription", "list_push_subscriptions", "remove_push_subscription",
    "create_webhook", "list_webhooks", "get_webhook", "change_webhook", "delete_webhook", "rotate_webhook",
    "test_webhook", "list_webhook_messages", "get_webhook_message", "replay_webhook",
    "put_card_balance", "get_card", "forget_card", "add_charges",
    "add_upcoming_charge", "list_upcoming_charges", "cancel_upcoming_charge",
    "create_alert", "create_alerts", "list_alerts", "get_alert", "follow_link",
    "get_alert_consent", "put_alert_consent",
    "get_delivery_figures", "list_figure_deliveries", "get_challenge_figures", "get_alert_figures",
    "prove_audit_event", "log_checkpoint", "log_tile",
    "list_blocks", "lift_block", "list_allowed", "allow", "disallow",
    "get_payer", "unblock_payer", "list_audit_events", "export_audit_log", "take_receipt", "take_receipt_by_query",
    "healthz", "readyz", "metrics", "jwks", "sandbox_messages", "sandbox_script", "sandbox_receipt",
)  # fmt: skip
NOTHING_TO_GET_WRONG = (
    "take_receipt",
    "take_receipt_by_query",
    "healthz",
    "readyz",
    "metrics",
    "jwks",
    "log_checkpoint",
    "log_tile",
    "device_challenges",
    "device_challenge",
    "get_fraud_rates",
    "follow_link",
)
MADE_UP = [(name, GenerationMode.POSITIVE) for name in OPERATIONS] + [
    (name, GenerationMode.NEGATIVE) for name in OPERATIONS if name not in NOTHING_TO_GET_WRONG
]
Case = schemathesis.Case[Any]


class Caller:
    """Sends what was made up, with the key that its operation asks for. A class because it holds the connection."""

    def __init__(self, service: Deployment) -> None:
        document = httpx.get(f"{service.api.url}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config())
        self.operations = {
            operation["operationId"]: schema[path][method.upper()]
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        self.methods = {path: frozenset(map(str.upper, item)) for path, item in document["paths"].items()}
        self._scopes = {
            operation["operationId"]: next(iter(operation["security"][0].values()))[0]
            for item in document["paths"].values()
            for operation in item.values()
            if operation.get("security")
        }
        self._service = service
        self._session = requests.Session()
        self._session.trust_env = False

    def send(self, name: str, case: Case) -> schemathesis.Response:
        """Send a case and check the answer; a 4xx has to be a problem document with the right status."""
        scope = self._scopes.get(name)
        headers = {"Authorization": f"Bearer {self._service.keys[HOLDERS[scope]]}"} if scope else {}
        response = case.call(base_url=self._service.api.url, session=self._session, headers=headers)
        # Too long is too long, whatever the document says of what is in it.
        too_long = response.status_code == 413
        checks = [one for one in MADE if not (too_long and one == "negative_data_rejection")]
        made: list[Any] = CHECKS.get_by_names(checks)
        case.validate_response(response, checks=made, headers=headers)
        assert len(response.headers["x-request-id"]) == 1
        if 400 <= response.status_code < 500:
            assert response.headers["content-type"] == ["application/problem+json"]
            assert response.json()["status"] == response.status_code
        return response

    def close(self) -> None:
        """End the connections, and let the suppliers deliver again."""
        for supplier in ("sms", "voice", "push"):
            self._session.post(
                f"{self._service.api.url}/sandbox/suppliers/{supplier}", json={"behaviour": "deliver"}
            )
        self._session.close()


@pytest.fixture(scope="module")
def caller(service: Deployment) -> Iterator[Caller]:
    """One for all requests."""
    caller = Caller(service)
    yield caller
    caller.close()


def test_every_operation_is_called(caller: Caller) -> None:
    """The list above has every operation of the document."""
    assert set(caller.operations) == set(OPERATIONS)


@pytest.mark.long
@pytest.mark.parametrize(("name", "mode"), MADE_UP, ids=[f"{name}-{mode}" for name, mode in MADE_UP])
def test_made_up_requests(caller: Caller, name: str, mode: GenerationMode) -> None:
    """Requests made up from the document's schemas, by their rules and against them."""

    @FUZZED
    @given(case=caller.operations[name].as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        caller.send(name, case)

    send()


@pytest.mark.on_demand
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_bound_of_the_document(caller: Caller, name: str) -> None:
    """One request for each bound, value and member of the schemas, within them and beyond, and other methods."""
    operation = caller.operations[name]
    for case in operation.schema.iter_coverage_cases(
        operation,
        generation_modes=list(GenerationMode),
        generation_config=operation.schema.config.generation_for(operation=operation),
    ):
        caller.send(name, case)


def test_all_checks_are_made(caller: Caller) -> None:
    """Every check that Schemathesis has is made, or says above why not."""
    assert set(MADE) | LEFT_OUT.keys() == set(CHECKS.get_all_names())
    assert not set(MADE) & LEFT_OUT.keys()


def test_paths_tell_their_methods(caller: Caller, service: Deployment) -> None:
    """OPTIONS names the methods that the document has, and so does the 405 that answers any other method."""
    known = ("DELETE", "GET", "PATCH", "POST", "PUT")
    with httpx.Client(base_url=service.api.url, trust_env=False) as http:
        for path, methods in caller.methods.items():
            place = re.sub(r"{[^}]*}", "0", path)
            asked = [("OPTIONS", 204), *((method, 405) for method in known if method not in methods)]
            for method, status in asked:
                answer = http.request(method, place)
                told = frozenset(answer.headers.get("allow", "").split(", ")) - {"HEAD", "OPTIONS"}
                assert (answer.status_code, told) == (status, methods), (method, path)


@pytest.mark.parametrize("purpose", ["payment", "login"])
def test_good_requests_fit_the_document(caller: Caller, service: Deployment, purpose: str) -> None:
    """A challenge's whole life is answered as the document says: each body has the members and types of its schema."""
    transaction = TRANSACTION if purpose == "payment" else None
    answer: dict[str, Any] = {"code": "123456"} | ({"transaction": TRANSACTION} if transaction else {})
    body = order(
        purpose=purpose, transaction=transaction, channels=[{"channel": "sms"}, {"channel": "voice"}]
    )
    created = caller.send("create_challenge", caller.operations["create_challenge"].Case(body=body))
    place: dict[str, Any] = {"challenge_id": created.json()["id"]}
    steps: list[tuple[str, Any]] = [
        ("get_challenge", NOT_SET),
        ("verify_challenge", answer),
        ("next_channel", {"reason": "user_request"}),
        ("cancel_challenge", {}),
        ("verify_challenge", answer),
    ]
    for name, content in steps:
        response = caller.send(name, caller.operations[name].Case(path_parameters=place, body=content))
        assert response.status_code == 200, response.text
    for name, filters in (
        ("list_challenges", {"psu": body["psu"]["id"]}),
        ("list_audit_events", {"challenge": place["challenge_id"]}),
        ("sandbox_messages", {"to": body["psu"]["phone"]}),
    ):
        listed = caller.send(name, caller.operations[name].Case(query=filters))
        assert listed.status_code == 200, listed.text

    assert created.status_code == 201
