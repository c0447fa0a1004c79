"""What a sealed record becomes under a newer root, and what is told of all of them. Pure."""

import ast
from pathlib import Path

import msgspec
import pytest

import sca_service
from sca_service.challenges.model import ChallengeState, decode_state
from sca_service.custody.model import TABLES, Place, SealedRecord, resealed, under
from sca_service.kernel.keyring import Keyring, SealBroken, add_root, create_keyring_text, use_newest_root
from sca_service.keys_commands import report
from tests.storeroom import new_challenge, new_payer

PACKAGE = Path(sca_service.__file__).parent
SEALED_BY = {
    "authenticators/sealed.py": Place.AUTHENTICATORS,
    "delivery/channels/push/subscriptions.py": Place.PUSH_SUBSCRIPTIONS,
    "audit/private/vault.py": Place.PAYER_KEYS,
    "exemptions/beneficiaries/trusted.py": Place.TRUSTED_BENEFICIARIES,
    "webhooks/signature.py": Place.WEBHOOK_ENDPOINTS,
    "alerts/content.py": Place.ALERTS,
    "risk/listings.py": Place.RISK_MARKS,
    "alerts/links/model.py": Place.ALERT_LINKS,
    "alerts/cards/content.py": (Place.CARDS, Place.UPCOMING_CHARGES, Place.CARD_CHARGES),
    "challenges/issue.py": Place.CHALLENGES,
    "challenges/erasure.py": Place.CHALLENGES,
    "challenges/code.py": Place.HOT_CHALLENGES,
    "challenges/signed.py": Place.HOT_CHALLENGES,
    "api/idempotency.py": Place.STORED_ANSWERS,
    "console/session.py": "a cookie of the desk, over within eight hours: its owner signs in again",
    "custody/model.py": "what is sealed anew",
}
"""Every file that seals under a root or derives a code from it, and where that is counted."""

TEXT = create_keyring_text()
OLD = Keyring.parse(TEXT)
NEW = Keyring.parse(use_newest_root(add_root(TEXT)))


def a_state(sealed: str) -> ChallengeState:
    """A challenge that holds this text."""
    _, new = new_challenge(new_payer())
    new.state.fixed = new.state.fixed.replace('"sealed":"sealed"', f'"sealed":"{sealed}"')
    assert new.state.details.sealed == sealed
    return new.state


def test_a_text_is_sealed_anew_for_the_same_record() -> None:
    """It says the same, under the current root, and is as long as before."""
    before = OLD.seal(b"personal", "aut_1")
    after = resealed(SealedRecord("aut_1", "aut_1", before), NEW)
    assert isinstance(after, str)
    assert (Keyring.version_of(after), len(after)) == (2, len(before))
    assert NEW.open(after, "aut_1") == b"personal"


def test_a_text_inside_a_challenge_is_exchanged_in_place() -> None:
    """Everything else stays byte for byte: a member that only a newer release knows is still there."""
    state = a_state(before := OLD.seal(b"personal" * 40, "chl_1"))
    packed = msgspec.msgpack.encode({**msgspec.structs.asdict(state), "of_tomorrow": [1, 2]})
    after = resealed(SealedRecord("chl_1", "chl_1", packed), NEW)
    assert isinstance(after, bytes)
    text = decode_state(after).details.sealed
    assert NEW.open(text, "chl_1") == b"personal" * 40
    assert Keyring.version_of(text) == 2
    assert after.replace(text.encode(), before.encode()) == packed


@pytest.mark.parametrize("held", ["", "sealed", OLD.seal(b"x", "other"), b"", b"\x80", b"\xc1"], ids=range(6))
def test_what_does_not_open_is_not_sealed_anew(held: str | bytes) -> None:
    """It would only look sound afterwards."""
    with pytest.raises(SealBroken):
        resealed(SealedRecord("aut_1", "aut_1", held), NEW)


def test_a_root_that_is_lost_seals_nothing_anew() -> None:
    """Its records stay as they are, for the day it is found."""
    without = Keyring.parse(create_keyring_text())
    with pytest.raises(SealBroken):
        resealed(SealedRecord("r", "r", OLD.seal(b"personal", "r")), without)


def test_a_record_shows_nothing_of_what_it_holds() -> None:
    """Not in a log, not in a traceback."""
    sealed = OLD.seal(b"personal", "r")
    assert sealed not in repr(SealedRecord("r", "r", sealed))


def test_every_place_is_told() -> None:
    """Version by version, and what each is to the keyring; nothing at all is told too."""
    empty: dict[Place, dict[int, int]] = {place: {} for place in Place}
    keyring = Keyring.parse(add_root(use_newest_root(add_root(TEXT))))
    uses = empty | {Place.PAYER_KEYS: {2: 7, 1: 3, 9: 1}, Place.STORED_ANSWERS: {3: 2, 0: 4}}
    assert report(uses, keyring) == [
        "payer_keys\t1\t3\tolder",
        "payer_keys\t2\t7\tcurrent",
        "payer_keys\t9\t1\tMISSING in the keyring",
        "answers under an Idempotency-Key\t-\t4\tcannot be read",
        "answers under an Idempotency-Key\t3\t2\tnewer",
    ]
    assert report(empty, keyring) == ["Nothing is sealed yet."]
    assert under(uses, 1) == {Place.PAYER_KEYS: 3}
    assert under(uses, 4) == {}


def test_everything_that_is_sealed_is_counted() -> None:
    """A root is taken out when nothing that is counted lies under it: what is sealed elsewhere would be lost."""
    sealing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("seal", "code_key")
    }
    assert sealing == SEALED_BY.keys()
    places = [
        place for held in SEALED_BY.values() for place in (held if isinstance(held, tuple) else (held,))
    ]
    assert set(Place) <= set(places)


def test_what_is_sealed_anew_is_every_table() -> None:
    """The rest is in Redis, and ends by itself."""
    assert set(Place) - set(TABLES) == {Place.HOT_CHALLENGES, Place.STORED_ANSWERS}
