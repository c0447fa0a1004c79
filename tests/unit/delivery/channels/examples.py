"""Example sections of voice, RCS and WhatsApp suppliers, a message for each, and call-backs as the api makes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.kinds import KINDS
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import CallBack, Message
from sca_service.kernel.secret import Secret
from sca_service.policy.template import Placeholder
from tests.adapters import adapter_context, text_message
from tests.rude_server import Answer, RudeRequest

CODE = "271828"
SPOKEN = "Sie zahlen 49,99 € an ACME & Söhne. Ihr Code ist: 2, 7, 1, 8, 2, 8."
ACCOUNT = f"AC{'0' * 32}"
APPLICATION = "00000000-1111-2222-3333-444444444444"
AGENT = "example-agent"
NUMBER_ID = "100000000000001"
KEY = "an example key of a test, long enough"
PATH_OF_KEYS = "/oauth/key"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """One key for all tests: making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem() -> str:
    """The same key, as an environment holds it."""
    return private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass(frozen=True, eq=False)
class Example:
    """A kind of supplier: its options and secrets but for where the API is, and its answer to a message it takes."""

    kind: str
    options: Mapping[str, object]
    secrets: Mapping[str, str]
    taken: object
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def context(self, url: str = "https://api.example", *, http: HttpClient | None = None) -> Context:
        """What the supplier is built with when its API is at `url`."""
        secrets = dict(self.secrets)
        if "service_account" in secrets:
            account = {
                "client_email": "agent@example.test",
                "private_key": private_pem(),
                "private_key_id": "key-1",
                "token_uri": f"{url}{PATH_OF_KEYS}",
            }
            secrets["service_account"] = json.dumps(account)
        if "private_key" in secrets:
            secrets["private_key"] = private_pem()
        return adapter_context(self.kind, {**self.options, "base_url": url}, secrets, http=http)

    def message(self) -> Message:
        """A payment's message."""
        return replace(
            text_message(text=SPOKEN),
            channel=KINDS[self.kind].channel,
            values={
                Placeholder.CODE: Secret(CODE),
                Placeholder.AMOUNT: Secret("49,99 €"),
                Placeholder.PAYEE: Secret("ACME &  Söhne\n…3000"),
                Placeholder.LIFETIME: Secret("5 Minuten"),
            },
        )

    def accept(self, request: RudeRequest) -> Answer:
        """What the API answers when all is well; also to who asks for an access key."""
        if request.path == PATH_OF_KEYS:
            return Answer(200, {"access_token": "an-access-key", "expires_in": 3600})
        return Answer(201, self.taken)


TWILIO = Example(
    "twilio-calls",
    {"account_sid": ACCOUNT, "caller": "+491713920009"},
    {"auth_token": KEY},
    {"sid": "CA1", "status": "queued"},
    f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json",
)
VONAGE = Example(
    "vonage-voice",
    {"application_id": APPLICATION, "caller": "+491713920009"},
    {"private_key": "", "signature_secret": KEY},
    {"uuid": "call-1", "status": "started"},
    "/v1/calls",
)
RCS = Example(
    "rcs-business-messaging",
    {"agent_id": AGENT},
    {"service_account": "", "client_token": KEY},
    {"name": "phones/x/agentMessages/y"},
    "/v1/phones/+491713920001/agentMessages",
)
WHATSAPP = Example(
    "whatsapp-cloud",
    {
        "phone_number_id": NUMBER_ID,
        "templates": {
            "login": {"name": "login_code", "languages": ["en_US", "de"], "button": "copy_code"},
            "payment": {
                "name": "payment_code",
                "parameters": ["amount", "payee", "code", "lifetime"],
                "languages": ["en", "de"],
                "button": "decline",
            },
        },
    },
    {"access_token": KEY, "app_secret": KEY, "verify_token": KEY},
    {"messages": [{"id": "wamid.x"}]},
    f"/v23.0/{NUMBER_ID}/messages",
)
EXAMPLES = (TWILIO, VONAGE, RCS, WHATSAPP)


def call_back(
    url: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, method: str = "POST"
) -> CallBack:
    """A supplier's call to this URL, as the api hands it on."""
    query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    return CallBack(method=method, url=url, query=query, headers=headers or {}, body=body)
