"""Bodies that must be refused, each with the code of its problem and the JSON pointer to the mistake.

Tables say what is wrong with one value; `...` takes a member away. The functions put it into a body that is fine
otherwise.
"""

import json
from typing import Any, NamedTuple

from tests.harness import TRANSACTION


class BadBody(NamedTuple):
    """What is sent, the code of the problem, and where its mistakes are."""

    body: bytes
    code: str
    pointers: tuple[str, ...]


CANARY = "zaunkoenig"
"""Stands in every bad body: no log may repeat it."""

MARKED = TRANSACTION | {"reference": CANARY}
MOST_BYTES = 64 * 1024

AMOUNTS: dict[str, Any] = {
    "exponent": "1e2",
    "negative": "-1.00",
    "plus sign": "+1.00",
    "three decimals": "10.005",
    "zero": "0.00",
    "empty": "",
    "comma": "10,00",
    "space": "1 000.00",
    "full-width": "１０.００",
    "no fraction": "10.",
    "no whole": ".10",
    "not a number": "NaN",
    "hexadecimal": "0x10",
    "too long": "1" * 19,
    "a number": 49.99,
    "null": None,
}
CURRENCIES = {"unknown": "EUX", "lower case": "eur", "test": "XTS", "gold": "XAU", "a sign": "€", "empty": ""}
NAMES = {
    "NUL": "AC\0ME",
    "line break": "ACME\nGmbH",
    "escape": "\x1b[2JACME",
    "delete": "ACME\x7f",
    "direction override": "ACME \u202eHbmG",
    "isolate": "\u2066ACME\u2069",
    "invisible": "AC\u200bME",
    "tag": "ACME\U000e0041",
    "filler": "AC\u3164ME",
    "unassigned": "ACME\U000e0fff",
    "mark first": "\u0301ACME",
    "empty": "",
    "blank": "   ",
    "too long": "A" * 141,
}
ACCOUNTS: dict[str, tuple[str, Any]] = {
    "wrong check digit": ("/iban", {"iban": "DE88370400440532013000"}),
    "transposed": ("/iban", {"iban": "DE89370400440532013003"}),
    "no such country": ("/iban", {"iban": "XX89370400440532013000"}),
    "wrong length": ("/iban", {"iban": "DE8937040044053201300"}),
    "full-width": ("/iban", {"iban": "ＤＥ89370400440532013000"}),
    "empty": ("", {}),
    "both": ("", {"iban": "DE89370400440532013000", "bban": "1"}),
    "odd bban": ("/bban", {"bban": "12-34"}),
    "unknown kind": ("/bic", {"bic": "COBADEFF"}),
}
TRANSACTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "amount with decimals of yen": (("/amount/amount",), {"amount": {"currency": "JPY", "amount": "10.5"}}),
    "reference too long": (("/reference",), {"reference": "r" * 141}),
    "reference NUL": (("/reference",), {"reference": "\0"}),
    "unknown member": (("/fee",), {"fee": "0"}),
    "unknown kind": (("/kind",), {"kind": "gift"}),
    "no amount and no payee": (("/amount", "/payee"), {"amount": ..., "payee": ...}),
    "two mistakes": (("/amount/currency", "/amount/amount"), {"amount": {"currency": "EUX", "amount": "-1"}}),
    "single and batch": (("/total", "/payees"), {"total": TRANSACTION["amount"]}),
}
SHARES = [
    {"payee": {"name": "One"}, "amount": {"currency": "EUR", "amount": "1.00"}},
    {"payee": {"name": "Two"}, "amount": {"currency": "EUR", "amount": "2.00"}},
]
BATCH = {"total": {"currency": "EUR", "amount": "3.00"}, "payees": SHARES, "reference": CANARY}
BATCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "that does not add up": ("/total/amount", {"total": {"currency": "EUR", "amount": "3.01"}}),
    "of two currencies": (
        "/payees/1/amount/currency",
        {"payees": [SHARES[0], SHARES[1] | {"amount": {"currency": "USD", "amount": "2.00"}}]},
    ),
    "with a bad name": (
        "/payees/0/payee/name",
        {"payees": [SHARES[0] | {"payee": {"name": "\0"}}, SHARES[1]]},
    ),
    "without a total": ("/total", {"total": ...}),
    "without payees": ("/payees", {"payees": ...}),
    "of nobody": ("/payees", {"payees": []}),
    "to be blocked": ("/kind", {"kind": "preauthorisation"}),
}
PHONES: dict[str, Any] = {
    "letters": "call me",
    "national": "0151 12345678",
    "too short": "+49151",
    "too long": "+4915112345678901234",
    "no such country": "+999123456789",
    "premium": "+499001234567",
    "toll free": "+498001234567",
    "satellite": "+881612345678",
    "extension": "+4915112345678;ext=5",
    "two numbers": "+4915112345678,+4915112345679",
    "NUL": "+49151\x0012345678",
    "direction override": "\u202e+4915112345678",
    "Arabic digits": "+٤٩١٥١١٢٣٤٥٦٧٨",
    "empty": "",
    "long": "+" + "4" * 70,
    "landline": "+493012345678",
    "missing": ...,
}
PSU_IDS: dict[str, Any] = {
    "empty": "",
    "too long": "p" * 129,
    "NUL": "p\0",
    "line break": "p\n",
    "blank": " ",
    "a number": 8841,
    "missing": ...,
}
ORDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "no psu": ("/psu", {"psu": ...}),
    "psu a text": ("/psu", {"psu": CANARY}),
    "psu null": ("/psu", {"psu": None}),
    "unknown member": (f"/{CANARY}", {CANARY: 1}),
    "unknown member with a slash": ("/a~1b~0c", {"a/b~c": 1}),
    "purpose unknown": ("/purpose", {"purpose": CANARY}),
    "no purpose": ("/purpose", {"purpose": ...}),
    "method unknown": ("/method", {"method": "carrier_pigeon"}),
    "payment without a transaction": ("/transaction", {"transaction": ...}),
    "login with a transaction": ("/transaction", {"purpose": "login"}),
    "no channels": ("/channels", {"channels": []}),
    "channel unknown": ("/channels/0/channel", {"channels": [{"channel": "email"}]}),
    "channel twice": ("/channels/1/channel", {"channels": [{"channel": "sms"}] * 2}),
    "channel with an unknown member": ("/channels/0/to", {"channels": [{"channel": "sms", "to": CANARY}]}),
    "time-out of nothing": ("/channels/0/timeout_s", {"channels": [{"channel": "sms", "timeout_s": 0}]}),
    "time-out too long": ("/channels/0/timeout_s", {"channels": [{"channel": "sms", "timeout_s": 301}]}),
    "eleven channels": ("/channels", {"channels": [{"channel": "sms"}] * 11}),
    "element unknown": ("/elements_presented/0", {"elements_presented": ["trust"]}),
    "lifetime too short": ("/expires_in_s", {"expires_in_s": 59}),
    "lifetime over the policy's": ("/expires_in_s", {"expires_in_s": 301}),
    "lifetime over ten minutes": ("/expires_in_s", {"expires_in_s": 601}),
    "lifetime negative": ("/expires_in_s", {"expires_in_s": -300}),
    "lifetime a text": ("/expires_in_s", {"expires_in_s": "300"}),
    "lifetime true": ("/expires_in_s", {"expires_in_s": True}),
    "lifetime huge": ("/expires_in_s", {"expires_in_s": 10**30}),
    "reference too long": ("/reference", {"reference": "r" * 141}),
    "reference with a direction": ("/reference", {"reference": "\u202ecase"}),
    "metadata a list": ("/metadata", {"metadata": [CANARY]}),
    "metadata not of texts": ("/metadata", {"metadata": {CANARY: 77}}),
    "metadata too many": ("/metadata", {"metadata": {str(at): "" for at in range(21)}}),
    "metadata with NUL": ("/metadata", {"metadata": {"case": "\0"}}),
    "metadata with NUL in a name": ("/metadata", {"metadata": {"\0": "77"}}),
    "metadata too long": ("/metadata", {"metadata": {"case": "7" * 513}}),
    "signal unknown": ("/signals/mood", {"signals": {"mood": CANARY}}),
    "signal ip": ("/signals/ip", {"signals": {"ip": "203.0.113.777"}}),
    "signal with NUL": ("/signals/device_id", {"signals": {"device_id": "\0"}}),
}
CODES: dict[str, Any] = {
    "too short": "123",
    "too long": "1234567890123",
    "empty": "",
    "full-width": "１２３４５６",
    "Arabic digits": "٦٩٣٥٥٤",
    "space": "693 554",
    "dash": "693-554",
    "NUL": "12345\0",
    "line break": "693554\n",
    "umlaut": "müller",
    "a number": 693554,
    "a list": ["693554"],
    "null": None,
    "missing": ...,
    "very long": "1" * 100,
}


def bad_orders(base: dict[str, Any]) -> dict[str, BadBody]:
    """Everything that cannot be issued, in place of the good order `base`."""
    psu = base["psu"]
    found = {
        f"phone {name}": _bad(base, "/psu/phone", psu=_with(psu, phone=text)) for name, text in PHONES.items()
    }
    found |= {
        f"psu id {name}": _bad(base, "/psu/id", psu=_with(psu, id=text)) for name, text in PSU_IDS.items()
    }
    found["psu with an unknown member"] = _bad(base, "/psu/name", psu=_with(psu, name=CANARY))
    for name, tag in {"unknown": "xx-XX-klingon", "a path": "../../etc/passwd", "empty": ""}.items():
        found[f"locale {name}"] = _bad(base, "/psu/locale", psu=_with(psu, locale=tag))
    found |= {name: _bad(base, pointer, **members) for name, (pointer, members) in ORDERS.items()}
    for name, (pointer, members) in BATCHES.items():
        found[f"batch {name}"] = _bad(base, f"/transaction{pointer}", transaction=_with(BATCH, **members))
    return found | bad_transactions(base) | unreadable(base)


def bad_answers(base: dict[str, Any]) -> dict[str, BadBody]:
    """Everything that is no answer, in place of the good answer `base`."""
    found = {f"code {name}": _bad(base, "/code", code=code) for name, code in CODES.items()}
    found["unknown member"] = _bad(base, "/codes", codes=["1"])
    found["transaction a text"] = _bad(base, "/transaction", transaction=CANARY)
    found["no transaction"] = _bad(base, "/transaction", transaction=...)
    return found | bad_transactions(base) | unreadable(base)


def bad_transactions(base: dict[str, Any]) -> dict[str, BadBody]:
    """Transactions that are no such thing, in a body that is fine otherwise."""
    wrong: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = dict(TRANSACTIONS)
    for name, text in AMOUNTS.items():
        wrong[f"amount {name}"] = ("/amount/amount",), {"amount": {"currency": "EUR", "amount": text}}
    for name, currency in CURRENCIES.items():
        wrong[f"currency {name}"] = ("/amount/currency",), {"amount": {"currency": currency, "amount": "1"}}
    for name, text in NAMES.items():
        wrong[f"payee {name}"] = ("/payee/name",), {"payee": {"name": text}}
    for name, (place, account) in ACCOUNTS.items():
        wrong[f"account {name}"] = (
            (f"/payee/account{place}",),
            {"payee": {"name": "ACME", "account": account}},
        )
    return {
        f"transaction {name}": _bad(
            base, *(f"/transaction{pointer}" for pointer in pointers), transaction=_with(MARKED, **members)
        )
        for name, (pointers, members) in wrong.items()
    }


def unreadable(base: dict[str, Any]) -> dict[str, BadBody]:
    """Bytes that are no JSON object, or one that two parsers would read differently."""
    good = _json(base)
    bodies = {
        "no JSON": CANARY.encode(),
        "cut off": good[:-1],
        "two objects": good + good,
        "an array": b"[" + good + b"]",
        "a string": _json(CANARY),
        "null": b"null",
        "NaN": good[:-1] + b', "x": NaN}',
        "trailing comma": good[:-1] + b",}",
        "comment": good + b"// " + CANARY.encode(),
        "single quotes": good.replace(b'"', b"'"),
        "not UTF-8": good.replace(CANARY.encode(), b"\xff\xfe"),
        "UTF-16": good.decode().encode("utf-16"),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "lone surrogate": good.replace(CANARY.encode(), b"\\ud800"),
        "raw NUL": good.replace(CANARY.encode(), b"\0"),
        "duplicate key": good[:-1] + b', "transaction": null}',
        "duplicate key within": good.replace(b'"reference":', b'"reference": "", "reference":'),
        "duplicate key, escaped": good[:-1] + b', "trans\\u0061ction": null}',
        "deep nesting": good[:-1] + b', "x": ' + b'{"a":' * 30 + b"1" + b"}" * 31,
        "very deep nesting": good[:-1] + b', "x": ' + b"[" * 30_000,
    }
    found = {name: BadBody(body, "malformed-request", ("",)) for name, body in bodies.items()}
    found["over 64 KiB"] = BadBody(good.ljust(MOST_BYTES + 1), "body-too-large", ())
    return found


def _bad(base: dict[str, Any], *pointers: str, **members: Any) -> BadBody:
    return BadBody(_json(_with(base, **members)), "validation-error", pointers)


def _with(base: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {name: value for name, value in {**base, **members}.items() if value is not ...}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
