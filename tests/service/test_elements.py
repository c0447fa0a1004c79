"""What an approval rests on, over HTTP: told at issue, refused where the policy asks for more, signed in the JWS."""

import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sca_service.settings import shipped_policies
from tests.device import asked, claims_of, enrolled
from tests.generator import enrolled as generator_enrolled
from tests.generator import pin_enrolled
from tests.harness import Bank, Deployment, Role, order, unique_psu

LOGIN: dict[str, Any] = {"purpose": "login", "transaction": None}


async def approved(bank: Bank, psu: dict[str, str], issued: dict[str, Any], *, number: int) -> dict[str, Any]:
    """The claims of a challenge, answered by the handset's message of this number."""
    verified = await bank.verify(issued["id"], await bank.code(psu["phone"], number=number))
    assert verified["outcome"] == "approved"
    return claims_of(verified["authentication_code"])


@pytest.mark.parametrize(
    ("over", "channels", "elements", "sca"),
    [
        (None, ["sms"], ["knowledge", "possession"], True),
        ("sms", ["sms"], ["possession"], False),
        ("sms", ["push", "sms"], ["possession"], False),
        ("voice", ["sms"], ["knowledge", "possession"], True),
        ("sms", ["voice"], ["knowledge", "possession"], True),
    ],
)
async def test_what_came_by_the_code_s_own_channel_does_not_count(
    bank: Bank, over: str | None, channels: list[str], elements: list[str], sca: bool
) -> None:
    """RTS Art. 9(1): a PIN typed into the thread that the code arrives in is not independent of it."""
    issued = await bank.issue(
        channels=[{"channel": channel} for channel in channels],
        elements_presented=["knowledge"],
        presented_over={"knowledge": over} if over else None,
    )
    assert (issued["elements"], issued["sca"]) == (elements, sca)


async def test_the_whole_ladder_counts_where_no_channel_is_named(bank: Bank) -> None:
    """The policy's ladder may come to a text: what was typed there is left out."""
    issued = await bank.issue(
        channels=None, elements_presented=["knowledge"], presented_over={"knowledge": "sms"}
    )
    assert (issued["elements"], issued["sca"]) == (["possession"], False)


async def test_an_element_of_nobody_is_a_mistake(bank: Bank) -> None:
    """`presented_over` speaks of what is presented, and of elements and channels that there are."""
    for presented, over, pointer in (
        (["inherence"], {"knowledge": "sms"}, "/presented_over/knowledge"),
        (None, {"knowledge": "sms"}, "/presented_over/knowledge"),
        (["knowledge"], {"knowledge": "letter"}, "/presented_over/knowledge"),
        (["memory"], None, "/elements_presented/0"),
    ):
        body = order(elements_presented=presented, presented_over=over)
        refused = await bank.http.post("/v1/challenges", json=body)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"].startswith(pointer.rpartition("/")[0])


async def test_the_authentication_code_says_whether_it_is_strong(bank: Bank) -> None:
    """The JWS carries the elements and `sca`, as the challenge told them."""
    psu = unique_psu()
    for number, presented in enumerate((["knowledge"], None), start=1):
        issued = await bank.issue(psu=psu, elements_presented=presented)
        said = await approved(bank, psu, issued, number=number)
        assert (said["elements"], said["sca"]) == (issued["elements"], issued["sca"])
        assert said["sca"] is (presented is not None)


@pytest.mark.parametrize(
    ("unlocked_by", "elements", "sca"),
    [
        (None, ["possession"], False),
        ("inherence", ["possession", "inherence"], True),
        ("knowledge", ["knowledge", "possession"], True),
    ],
)
async def test_a_device_carries_what_unlocks_it(
    bank: Bank, unlocked_by: str | None, elements: list[str], sca: bool
) -> None:
    """RTS Art. 7, and 6 or 8; the bank answers for what its app asks before the key signs."""
    psu = unique_psu()
    device = await enrolled(bank, psu, unlocked_by=unlocked_by)
    issued = await asked(bank, psu)
    assert (issued["elements"], issued["sca"]) == (elements, sca)
    assert await device.approve(issued) == "approved"
    said = claims_of((await bank.get(issued["id"]))["authentication_code"])
    assert (said["elements"], said["sca"]) == (elements, sca)
    known = await asked(bank, psu, elements_presented=["knowledge"])
    assert known["sca"] is True


async def test_a_pin_is_the_apps_to_ask(bank: Bank) -> None:
    """With a device or a payer's PIN: the PIN is typed beside a code, never beside a signature."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, "493817")
    assert (await bank.issue(psu=psu))["pin_asked"] is True
    issued = await bank.issue(psu=psu, purpose="enrolment", transaction=None)
    code = await bank.code(psu["phone"], of=issued["id"])
    body = {"code": code, "pin": "493817"}
    word = (await bank.http.post(f"/v1/challenges/{issued['id']}/verify", json=body)).json()
    await enrolled(bank, psu, unlocked_by=None, authorisation=word["authentication_code"])
    signed = await asked(bank, psu)
    assert (signed["pin_asked"], signed["elements"], signed["sca"]) == (False, ["possession"], False)


@pytest.mark.parametrize("method", ["one_time_code", "device_signature", "hotp"])
async def test_what_cannot_reach_what_is_required_is_refused_at_issue(bank: Bank, method: str) -> None:
    """422 at /elements_presented with the reason, nothing is sent or asked; with a second element it is issued."""
    psu = unique_psu()
    device = None
    if method == "device_signature":
        device = await enrolled(bank, psu, unlocked_by=None)
    if method == "hotp":
        await generator_enrolled(bank, psu, "hotp")
    body = {"psu": psu, "purpose": "enrolment", "method": method}
    refused = await bank.http.post("/v1/challenges", json=body)
    (mistake,) = refused.json()["errors"]
    assert (refused.status_code, mistake["pointer"]) == (422, "/elements_presented")
    assert "possession only" in mistake["detail"]
    assert "RTS Art. 4(1) and 9" in mistake["detail"]
    assert await bank.messages(psu["phone"]) == []
    assert device is None or await device.asked() == []
    strong = await bank.http.post("/v1/challenges", json=body | {"elements_presented": ["inherence"]})
    assert (strong.status_code, strong.json()["sca"]) == (201, True)


async def test_a_dependent_element_does_not_reach_it_either(bank: Bank) -> None:
    """The PIN in the text thread, beside a code by text."""
    body = {
        "psu": unique_psu(),
        "purpose": "enrolment",
        "channels": [{"channel": "sms"}],
        "elements_presented": ["knowledge"],
        "presented_over": {"knowledge": "sms"},
    }
    refused = await bank.http.post("/v1/challenges", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/elements_presented")


@pytest.fixture(scope="module")
def psr_api(service: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Role]:
    """An api under the regime `psr`, which asks for two elements at logins too."""
    folder = tmp_path_factory.mktemp("psr") / "policies"
    shutil.copytree(shipped_policies(), folder)
    elements = folder / "elements.toml"
    text = elements.read_text("utf-8")
    for old, new in (('regime = "psd2"', 'regime = "psr"'), ('login = "any"', 'login = "sca"')):
        assert text.count(f"\n{old}") == 1
        text = text.replace(f"\n{old}", f"\n{new}")
    elements.write_text(text, "utf-8")
    shipped, service.policies = service.policies, folder
    try:
        role = service.start("api")
    finally:
        service.policies = shipped
    yield role
    role.stop()
    service.forget(role)


@pytest.fixture
async def psr_bank(service: Deployment, psr_api: Role) -> AsyncIterator[Bank]:
    """A bank that calls it."""
    async with service.bank(url=psr_api.url) as bank:
        yield bank


async def test_under_psr_two_of_one_category_may_do(psr_bank: Bank, bank: Bank) -> None:
    """Two possessions: strong there, not under `psd2`; one is too little for a login that asks for two."""
    psu = unique_psu()
    issued = await psr_bank.issue(psu=psu, **LOGIN, elements_presented=["possession"])
    assert (issued["elements"], issued["sca"]) == (["possession"], True)
    verified = await psr_bank.verify(issued["id"], await psr_bank.code(psu["phone"]), None)
    said = claims_of(verified["authentication_code"])
    assert (said["elements"], said["sca"]) == (["possession"], True)
    alone = await psr_bank.http.post("/v1/challenges", json=order(psu=psu, **LOGIN))
    assert (alone.status_code, alone.json()["errors"][0]["pointer"]) == (422, "/elements_presented")
    assert (await bank.issue(psu=psu, **LOGIN, elements_presented=["possession"]))["sca"] is False


async def test_under_psr_two_still_have_to_be_independent(psr_bank: Bank) -> None:
    """What came by the code's own channel is none there either; a payment is not required to be strong here."""
    presented = {"elements_presented": ["possession"], "presented_over": {"possession": "sms"}}
    refused = await psr_bank.http.post("/v1/challenges", json=order(**LOGIN, **presented))
    assert refused.status_code == 422
    assert (await psr_bank.issue(**presented))["sca"] is False
