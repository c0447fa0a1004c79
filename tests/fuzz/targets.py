"""What is fuzzed: parsers of what strangers send. Each may refuse by the errors it names, and by nothing else.

`make fuzz` has atheris look for bytes that break one; what it finds becomes a seed here, so that it stays mended.
"""

import base64
import contextlib
import json
import struct
import tomllib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.api.certificates.header import read_headers
from sca_service.api.forms import AnswerForm, CreateChallenge
from sca_service.api.json_body import parse_json
from sca_service.api.requests import answer_of, order_of
from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteInvalid, NoteVerifier, split_note
from sca_service.audit.log.proof import TlogProof
from sca_service.audit.merkle import ProofInvalid
from sca_service.audit.offline.evidence import read_evidence
from sca_service.audit.offline.findings import Refused
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.device_key.jws import BadSignature
from sca_service.authenticators.device_key.proof import verify_enrolment
from sca_service.authenticators.ocra.signing import parse_suite
from sca_service.authenticators.passkey.response import read_assertion, read_attestation, read_client
from sca_service.authenticators.pin.rules import parse_pin
from sca_service.challenges.code import parse_code
from sca_service.challenges.model import ChallengeId
from sca_service.client import ApprovalRefused, Approvals, WebhookRefused, read_webhook
from sca_service.delivery.channels.sms.http_sms.wire import document_of, text_at
from sca_service.delivery.channels.sms.smpp.receipts import read_receipt, read_reply
from sca_service.delivery.channels.sms.smpp.wire import Inbound
from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput, MalformedRequest, Unauthorized
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.tracing.model import read_traceparent
from sca_service.policy.limits_reader import read_limits
from sca_service.policy.reader import Table

_PAYMENT = {
    "psu": {"id": "cust_1", "phone": "+4915112345678", "locale": "de-DE"},
    "purpose": "payment",
    "transaction": {
        "amount": {"currency": "EUR", "amount": "49.99"},
        "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    },
    "channels": [{"channel": "sms", "timeout_s": 45}],
    "signals": {"ip": "203.0.113.7"},
}
_HEAD = base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"k","typ":"JWT"}').rstrip(b"=")
_PUBLIC = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
_X = base64.urlsafe_b64encode(_PUBLIC).rstrip(b"=").decode()
_APPROVALS = Approvals(
    {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": _X}]},
    issuer="https://sca.example",
    client="bank",
)
_RECEIPT = (
    b"id:0123 sub:001 dlvrd:001 submit date:2611281015 done date:2611281016 stat:DELIVRD err:000 text:Hi"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, what it may refuse by, and what a search begins with."""

    name: str
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]

    def try_on(self, raw: bytes) -> None:
        """Parse it; whatever it is, it is taken or refused. Raises what the parser must not raise."""
        with contextlib.suppress(*self.refusals):
            self.parse(raw)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _amount(raw: bytes) -> object:
    currency, _, amount = _text(raw).partition(" ")
    return Amount.parse(currency=currency, amount=amount)


def _account(raw: bytes) -> object:
    kind, _, text = _text(raw).partition(" ")
    return Account.parse(iban=text) if kind == "iban" else Account.parse(bban=text)


def _inbound(raw: bytes) -> Inbound:
    """A `deliver_sm`: two octets that say what it is, a TLV, and the text."""
    esm_class, coding, length = struct.unpack("BBB", raw[:3].ljust(3, b"\0"))
    value, text = raw[3 : 3 + length], raw[3 + length :]
    parameters = {0x001E: value} if coding & 1 else {0x0427: value} if coding & 2 else {}
    return Inbound("491511234567", "BANK", esm_class, coding & 0x0C, text, parameters)


def _smpp(raw: bytes) -> object:
    inbound = _inbound(raw)
    return read_receipt(inbound, utc_minutes=60), read_reply(inbound)


def _http_receipt(raw: bytes) -> object:
    pointer, _, body = raw.partition(b"\n")
    return text_at(document_of(body), "/" + _text(pointer))


def _certificate(raw: bytes) -> object:
    certificate, _, chain = raw.partition(b"\n")
    return read_headers(certificate, chain)


def _enrolment(raw: bytes) -> object:
    return verify_enrolment(
        _text(raw), method="POST", url="https://a.example/", body=b"", now_s=1_780_000_000
    )


def _webhook(raw: bytes) -> object:
    signature, _, body = raw.partition(b"\n")
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1780000000",
        "webhook-signature": _text(signature),
    }
    key = "whsec_" + base64.b64encode(bytes(32)).decode()
    return read_webhook(key, headers, body, now_seconds=1_780_000_000)


def _policy(raw: bytes) -> object:
    mistakes: list[str] = []
    try:
        content = tomllib.loads(raw.decode())
    except (ValueError, RecursionError):  # what reading a file says of it
        return mistakes
    read_limits(Table(content, mistakes, file="limits.toml"))
    return mistakes


TARGETS = (
    Target(
        "phone",
        lambda raw: PhoneNumber.parse(_text(raw)),
        (InvalidInput,),
        (
            b"+4915112345678",
            b"tel:+49-151-1234",
            "\uff0b\uff14\uff19 151".encode(),
            b"0049 (151) 1234567;ext=1",
        ),
    ),
    Target("amount", _amount, (InvalidInput,), (b"EUR 49.99", b"JPY 100", b"XXX 1e3", b"EUR 0.005")),
    Target("account", _account, (InvalidInput,), (b"iban DE89370400440532013000", b"bban 12345-678")),
    Target("code", lambda raw: parse_code(_text(raw)), (InvalidInput,), (b"693554", "６９３５５４".encode())),
    Target("pin", lambda raw: parse_pin(_text(raw)), (InvalidInput,), (b"4711", b"123456")),
    Target("challenge id", lambda raw: ChallengeId.parse(_text(raw)), (), (b"chl_" + b"0" * 38,)),
    Target(
        "order",
        lambda raw: order_of(parse_json(raw, CreateChallenge)),
        (InvalidInput, MalformedRequest),
        (json.dumps(_PAYMENT).encode(), b'{"psu":{"id":"a"},"purpose":"login"}'),
    ),
    Target(
        "answer",
        lambda raw: answer_of(parse_json(raw, AnswerForm), key="k"),
        (InvalidInput, MalformedRequest),
        (b'{"code":"693554"}', json.dumps({"code": "1234", "transaction": _PAYMENT["transaction"]}).encode()),
    ),
    Target(
        "smpp",
        _smpp,
        (),
        (b"\x04\x00\x00" + _RECEIPT, b"\x04\x01\x04\x30\x31\x00\x00" + _RECEIPT, b"\x00\x08\x00\x00N\x00O"),
    ),
    Target("http receipt", _http_receipt, (), (b'a/0/b\n{"a":[{"b":1}]}', b"x\n[[[[", b"0\n[1e400]")),
    Target(
        "jwk",
        DeviceKey.parse,
        (InvalidInput,),
        (json.dumps({"kty": "OKP", "crv": "Ed25519", "x": _X}).encode(), b'{"kty":"EC","crv":"P-256"}'),
    ),
    Target("proof", _enrolment, (BadSignature, InvalidInput), (_HEAD + b".e30." + b"A" * 86,)),
    Target(
        "authentication code",
        lambda raw: _APPROVALS.read(_text(raw), challenge="chl_1", now_seconds=0),
        (ApprovalRefused,),
        (_HEAD + b".e30." + b"A" * 86, b".."),
    ),
    Target("webhook", _webhook, (WebhookRefused,), (b"v1,AAAA v1a,BBBB\n{}",)),
    Target(
        "ocra suite",
        lambda raw: parse_suite(_text(raw)),
        (InvalidInput,),
        (b"OCRA-1:HOTP-SHA256-8:C-QH40", b"OCRA-1:HOTP-SHA512-0:QN08-PSHA1-S064-T1M"),
    ),
    Target("certificate", _certificate, (Unauthorized,), (b":MIIB:", b"::", b":AAAA:\n:AAAA:, :BBBB:")),
    Target("attestation", read_attestation, (InvalidInput,), (b'{"id":"a","response":{}}',)),
    Target("assertion", read_assertion, (InvalidInput,), (b'{"id":"a","response":{}}',)),
    Target(
        "browser's word",
        read_client,
        (InvalidInput,),
        (b'{"type":"webauthn.get","challenge":"","origin":""}',),
    ),
    Target(
        "note", lambda raw: split_note(_text(raw)), (NoteInvalid,), (b"a\n\n\xe2\x80\x94 log AAAAAAAA\n",)
    ),
    Target(
        "verifier key", lambda raw: NoteVerifier.parse(_text(raw)), (NoteInvalid,), (b"log+530d903a+AUV=",)
    ),
    Target("checkpoint", lambda raw: Checkpoint.parse(_text(raw)), (NoteInvalid,), (b"log\n7\nAAAA\n",)),
    Target(
        "tlog proof",
        lambda raw: TlogProof.parse(_text(raw)),
        (ProofInvalid,),
        (b"c2sp.org/tlog-proof@v1\nindex 7\nAAAA\n\nlog\n8\nAAAA\n",),
    ),
    Target(
        "evidence",
        read_evidence,
        (Refused,),
        (b'{"format":"x"}', b"<script type=application/json>{}</script>"),
    ),
    Target(
        "traceparent",
        lambda raw: read_traceparent(_text(raw)),
        (),
        (b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",),
    ),
    Target(
        "limits.toml",
        _policy,
        (),
        (b'[[limit]]\naction = "start"\nscope = "payer"\nburst = 5\nper_seconds = 60\n', b"limit = 7\n"),
    ),
)
