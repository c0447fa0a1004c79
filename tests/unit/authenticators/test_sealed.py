"""What is sealed of an authenticator: it comes back as it was, for its own record only, and shows little of itself."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType, Element
from sca_service.authenticators.passkey.registration import Passkey
from sca_service.authenticators.postgres_store import AuthenticatorRow
from sca_service.authenticators.sealed import (
    Content,
    DeviceSealed,
    OcraSealed,
    OtpSealed,
    PasskeySealed,
    PhoneSealed,
    PinSealed,
    content_of,
    sealed,
    shown_of,
)
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring, SealBroken, create_keyring_text

KEYRING = Keyring.parse(create_keyring_text())
Type = AuthenticatorType
MADE = Passkey(b"credential", b"key", 0, backed_up=False, backup_eligible=True, transports=(), aaguid="0")
CONTENTS: list[tuple[Type, Content, Element | None]] = [
    (Type.TOTP, OtpSealed(b"seed", 6, 30, "Anna"), None),
    (Type.HOTP, OtpSealed(b"seed", 6, 0, "Anna"), None),
    (Type.OCRA, OcraSealed(b"seed", "OCRA-1:HOTP-SHA256-8:C-QH40", "Anna"), None),
    (Type.PIN, PinSealed("$argon2id$seed", "Anna"), None),
    (Type.PHONE, PhoneSealed("+4915112345678", "de-DE", "Anna"), None),
    (Type.DEVICE_KEY, DeviceSealed("Anna", None, code="seed"), None),
    (Type.DEVICE_KEY, DeviceSealed("Anna", Element.KNOWLEDGE, jwk=b"seed"), Element.KNOWLEDGE),
    (
        Type.PASSKEY,
        PasskeySealed("Anna", Element.INHERENCE, b"handle", for_payments=True, challenge=b"seed", made=MADE),
        Element.INHERENCE,
    ),
]


def row(kind: Type, text: str, name: str = "aut_1") -> AuthenticatorRow:
    """One as it is stored."""
    return AuthenticatorRow(
        id=name,
        client="bank",
        psu="payer",
        type=kind,
        state=AuthenticatorState.ACTIVE,
        sealed=text,
        tries=0,
        last_step=-1,
        last_challenge=None,
        created_at=datetime.now(UTC),
        activated_at=None,
        used_at=None,
    )


@pytest.mark.parametrize(("kind", "content", "unlocked_by"), CONTENTS)
def test_what_was_sealed_comes_back(kind: Type, content: Content, unlocked_by: Element | None) -> None:
    """By its type; of all that the label and what unlocks it are shown, and nothing by `repr`."""
    kept = row(kind, sealed(KEYRING, content, "aut_1"))
    assert content_of(KEYRING, kept) == content
    assert shown_of(KEYRING, kept) == ("Anna", unlocked_by)
    assert "Anna" not in repr(content)
    assert "seed" not in repr(content)
    assert kept.sealed not in repr(kept)


@pytest.mark.parametrize(("kind", "content", "unlocked_by"), CONTENTS)
def test_it_opens_for_its_own_record_only(kind: Type, content: Content, unlocked_by: Element | None) -> None:
    """Put into another's row it is broken, so nobody's key answers for somebody else's authenticator."""
    moved = row(kind, sealed(KEYRING, content, "aut_1"), "aut_2")
    for read in (content_of, shown_of):
        with pytest.raises(SealBroken):
            read(KEYRING, moved)
    assert shown_of(KEYRING, replace(moved, id="aut_1"))[1] is unlocked_by


def test_a_revoked_one_shows_nothing_any_more() -> None:
    """What was sealed is gone: there is no label to show."""
    for kind in Type:
        assert shown_of(KEYRING, row(kind, "")) == ("", None)


def test_a_device_without_a_key_has_none() -> None:
    """While it is pending."""
    with pytest.raises(InvalidInput):
        _ = DeviceSealed("Anna", None, code="seed").key
