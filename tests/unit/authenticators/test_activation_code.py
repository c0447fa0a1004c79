"""The code that a device shows its key with: long enough, and read as people type it."""

import re

import pytest

from sca_service.authenticators.enrolment.contents import Contents, code_read
from sca_service.authenticators.enrolment.model import Wish
from sca_service.authenticators.model import AuthenticatorType, Element
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.authenticators.sealed import DeviceSealed, PasskeySealed
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.site import Site
from sca_service.policy.load import load
from sca_service.settings import shipped_policies


def contents(site: Site | None = None) -> Contents:
    """What makes authenticators; of no PIN here."""
    keyring = Keyring.parse(create_keyring_text())
    policy = load(shipped_policies()).authenticators
    return Contents(policy=policy, keyring=keyring, pins=PinHasher(keyring.pin_pepper), site=site)


@pytest.mark.parametrize(
    "typed",
    [
        "ABCDEF-GHIJKL",
        "abcdef-ghijkl",
        "ABCDEFGHIJKL",
        " ABCDEF GHIJKL\n",
        "AbCdEf - gHiJkL",
        "a-b-cdefghijkl",
    ],
)
def test_a_code_is_read_however_it_is_grouped(typed: str) -> None:
    """Capitals, hyphens and spaces are for the eye."""
    assert code_read(typed) == "ABCDEFGHIJKL"


@pytest.mark.parametrize(
    "typed", ["ABCDEF_GHIJKL", "ABCDEFGHIJK1", "ABCDEF\u2010GHIJKL", "ＡBCDEFGHIJKL", ""]
)
def test_another_sign_is_another_code(typed: str) -> None:
    """No sign is taken for one that looks like it."""
    assert code_read(typed) != "ABCDEFGHIJKL"


async def test_a_device_gets_a_code_of_120_bits() -> None:
    """24 characters of base32 in four groups, another one each time; what unlocks the key is kept beside it."""
    wish = Wish(AuthenticatorType.DEVICE_KEY, "Anna's phone", unlocked_by=Element.INHERENCE)
    made = [await contents().make(wish, f"aut_{number:032x}", client="bank") for number in range(3)]
    codes = {one.code for one in made if isinstance(one, DeviceSealed)}
    assert len(codes) == 3
    for code in codes:
        assert re.fullmatch(r"[A-Z2-7]{6}(-[A-Z2-7]{6}){3}", code)
        assert code not in repr(made)


async def test_a_passkey_gets_a_handle_and_a_challenge_of_its_own() -> None:
    """Neither tells who the payer is; without a domain there is none to be made."""
    wish = Wish(AuthenticatorType.PASSKEY, "Anna")
    site = Site("bank.example", ("https://bank.example",))
    made = [await contents(site).make(wish, "aut_1", client="bank") for _ in range(2)]
    assert all(isinstance(one, PasskeySealed) for one in made)
    parts = {part for one in made if isinstance(one, PasskeySealed) for part in (one.handle, one.challenge)}
    assert [len(part) for part in parts] == [32] * 4
    with pytest.raises(InvalidInput) as refused:
        await contents().make(wish, "aut_1", client="bank")
    assert [one.pointer for one in refused.value.mistakes] == ["/type"]
