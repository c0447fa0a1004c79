"""The envelope around a keyring, without its keepers: what is one, what is a broken one, and what lacks."""

import json
import sys

import pytest

from sca_service.kernel.custody.envelope import parse, unwrap, wrap, wrap_as
from sca_service.kernel.custody.model import CustodySettings, Keeper
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import create_keyring_text
from sca_service.kernel.secret import Secret

SETTINGS = CustodySettings(
    pkcs11_module="/nowhere/module.so", pkcs11_slot="sca", pkcs11_pin=Secret("pin-of-the-hsm")
)


def envelope(**changes: object) -> str:
    """The text of an envelope."""
    return json.dumps({"wrapped_by": "pkcs11", "key": "sca-keyring", "wrapped": "AAAA" * 16, **changes})


def test_a_bare_keyring_is_none() -> None:
    """It is given back as it stands, and so is what is neither: the keyring's own reader says what is wrong."""
    for text in (create_keyring_text(), "", "no JSON", "[]"):
        assert parse(text) is None
        assert unwrap(text, SETTINGS) == text
        assert wrap_as(text, "other", SETTINGS) == "other"


def test_an_envelope_is_read() -> None:
    """Who opens it, and by which key."""
    found = parse(envelope())
    assert found is not None
    assert (found.wrapped_by, found.key) == (Keeper.PKCS11, "sca-keyring")


@pytest.mark.parametrize(
    "text",
    [
        envelope(wrapped_by="somebody"),
        envelope(wrapped_by=None),
        envelope(key=7),
        envelope(wrapped="no base64url!"),
        envelope(wrapped="AAA"),
        envelope(wrapped=""),
        envelope(wrapped="AAAA"),
        envelope(current=1),
        json.dumps({"wrapped_by": "pkcs11"}),
        envelope(wrapped_by="aws-kms", wrapped=""),
        envelope(wrapped_by="aws-kms", wrapped="AAAA"),
        envelope(wrapped_by="aws-kms", wrapped="____AAAA"),
    ],
)
def test_a_broken_envelope_is_refused(text: str) -> None:
    """In plain words, before anybody is asked, and without a secret in them."""
    with pytest.raises(ConfigurationError) as refused:
        unwrap(text, SETTINGS)
    assert str(refused.value).startswith("keyring: ")
    assert "pin-of" not in str(refused.value)


@pytest.mark.parametrize("missing", ["pkcs11_module", "pkcs11_slot", "pkcs11_pin"])
def test_what_is_not_configured_is_named(missing: str) -> None:
    """The setting or the variable that an HSM needs."""
    known: dict[str, object] = {
        "pkcs11_module": "/nowhere/module.so",
        "pkcs11_slot": "sca",
        "pkcs11_pin": Secret("1234"),
    }
    del known[missing]
    name = "SCA_PKCS11_PIN" if missing == "pkcs11_pin" else f"custody.{missing}"
    with pytest.raises(ConfigurationError, match=name):
        unwrap(envelope(), CustodySettings(**known))  # type: ignore[arg-type]


def test_a_module_that_does_not_load_is_said() -> None:
    """By the setting's name, without the loader's words."""
    with pytest.raises(ConfigurationError, match=r"custody\.pkcs11_module"):
        unwrap(envelope(), SETTINGS)


@pytest.mark.parametrize(
    ("keeper", "library", "extra"), [(Keeper.PKCS11, "pkcs11", "hsm"), (Keeper.AWS_KMS, "boto3", "aws")]
)
def test_a_missing_library_says_what_to_install(
    keeper: Keeper, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is needed only where such an envelope is met."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=f"install the extra `{extra}`"):
        wrap(create_keyring_text(), keeper, "key", SETTINGS)
    assert unwrap("a bare keyring", SETTINGS) == "a bare keyring"
