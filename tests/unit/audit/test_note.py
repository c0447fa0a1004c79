"""Signed notes: the published example opens, and nothing opens that is not exactly a note of a known key."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.audit.log.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    NoteInvalid,
    NoteSigner,
    NoteVerifier,
    Signature,
    SignatureType,
    add_signatures,
    open_note,
    sign,
    split_note,
    verifier_key,
)

KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
"""The example of C2SP signed-note, and its key."""
VERIFIER = NoteVerifier.parse(KEY)
LOG = NoteSigner("sca.bank.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
TEXT = "sca.bank.example/log\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def cosignature(private_key: Ed25519PrivateKey, name: str, text: str, at: int) -> str:
    """A witness's line, made from the words of C2SP tlog-cosignature alone."""
    signed = private_key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
    public = private_key.public_key().public_bytes_raw()
    named = hashlib.sha256(f"{name}\n".encode() + b"\x04" + public).digest()[:4]
    return f"— {name} {base64.b64encode(named + at.to_bytes(8) + signed).decode()}\n"


def test_the_example_of_the_specification_opens() -> None:
    """The note and the key that C2SP prints."""
    opened = open_note(NOTE, [VERIFIER])
    assert opened.text == "This is an example message.\n"
    assert [signature.name for signature in opened.signatures] == ["example.com/foo"]
    assert opened.unknown == ()


def test_the_published_vectors(shared: Path) -> None:
    """Every vector beside the project opens or is refused as it says."""
    vectors = json.loads((shared / "vectors/c2sp/signed_note_vectors.json").read_text("utf-8"))["vectors"]
    assert vectors
    for vector in vectors:
        verifier = NoteVerifier.parse(vector["vkey"])
        if vector["valid"]:
            assert open_note(vector["note"], [verifier]).signatures
        else:
            with pytest.raises(NoteInvalid):
                open_note(vector["note"], [verifier])


def test_what_we_sign_opens_with_our_verifier_key() -> None:
    """A note comes back as its text, and the key's text names its holder."""
    note = sign(TEXT, [LOG])
    assert note.startswith(TEXT + "\n— sca.bank.example/log ")
    assert open_note(note, [NoteVerifier.parse(LOG.verifier_key)]).text == TEXT
    assert LOG.verifier_key.startswith("sca.bank.example/log+")
    assert "NoteSigner(sca.bank.example/log+" in repr(LOG)


def test_a_text_with_empty_lines_ends_at_the_last_one() -> None:
    """The note in the specification has a poem with an empty line in it."""
    poem = "Ognuno sta solo sul cuor della terra\n\ned è subito sera.\n"
    assert open_note(sign(poem, [LOG]), [NoteVerifier.parse(LOG.verifier_key)]).text == poem


def test_two_keys_of_one_name_both_sign() -> None:
    """While a key is rotated, whoever knows either of the two opens the checkpoint."""
    newer = NoteSigner(LOG.name, Ed25519PrivateKey.generate())
    note = sign(TEXT, [newer, LOG])
    for signer in (newer, LOG):
        opened = open_note(note, [NoteVerifier.parse(signer.verifier_key)])
        assert (len(opened.signatures), len(opened.unknown)) == (1, 1)
    both = [NoteVerifier.parse(signer.verifier_key) for signer in (newer, LOG)]
    assert len(open_note(note, both).signatures) == 2


def test_a_cosignature_verifies_over_its_time() -> None:
    """A witness's line tells when it was made; with another time it is forged."""
    witness = Ed25519PrivateKey.generate()
    line = cosignature(witness, "witness.example/w1", TEXT, 1679315147)
    key = verifier_key(
        "witness.example/w1", witness.public_key().public_bytes_raw(), SignatureType.COSIGNATURE
    )
    opened = open_note(sign(TEXT, [LOG]) + line, [NoteVerifier.parse(key)])
    assert opened.signatures[0].signed_at_seconds == 1679315147
    parsed = Signature.parse(line[:-1])
    forged = Signature(parsed.name, parsed.key_id, (1679315148).to_bytes(8) + parsed.value[8:])
    beyond = cosignature(witness, "witness.example/w1", TEXT, 2**63)
    for bad in (forged.line, beyond):
        with pytest.raises(NoteInvalid):
            open_note(sign(TEXT, [LOG]) + bad, [NoteVerifier.parse(key)])


def test_a_plain_signature_is_no_cosignature_of_the_same_key() -> None:
    """One key in two kinds has two ids; neither kind's line passes for the other's."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    plain, timed = (NoteVerifier.parse(verifier_key("w.example", public, kind)) for kind in SignatureType)
    line = Signature.parse(cosignature(private, "w.example", TEXT, 7)[:-1])
    with pytest.raises(NoteInvalid):
        plain.verified(TEXT, line)
    with pytest.raises(NoteInvalid):
        timed.verified(TEXT, NoteSigner("w.example", private).signature(TEXT))


def test_lines_are_added_once() -> None:
    """A cosigned note keeps its text and its first lines, and takes no line twice."""
    note = sign(TEXT, [LOG])
    line = Signature.parse(cosignature(Ed25519PrivateKey.generate(), "w.example", TEXT, 7)[:-1])
    cosigned = add_signatures(note, [line, line])
    assert cosigned == note + line.line
    assert add_signatures(cosigned, [line]) == cosigned
    assert split_note(cosigned)[1][1] == line


def test_a_known_key_whose_signature_fails_spoils_the_note() -> None:
    """One good signature does not make up for a forged one of another known key."""
    other = NoteSigner("other.example", Ed25519PrivateKey.generate())
    forged = other.signature("another text\n")
    with pytest.raises(NoteInvalid, match="does not verify"):
        open_note(
            sign(TEXT, [LOG]) + forged.line,
            [NoteVerifier.parse(LOG.verifier_key), NoteVerifier.parse(other.verifier_key)],
        )


def test_unknown_keys_are_ignored_even_when_they_share_a_name_or_an_id() -> None:
    """Name and id together name a key."""
    own = LOG.signature(TEXT)
    same_name = Signature(own.name, b"\0\0\0\0", own.value)
    same_id = Signature("other.example", own.key_id, b"x" * 64)
    note = TEXT + "\n" + same_name.line + same_id.line
    with pytest.raises(NoteInvalid, match="no known key"):
        open_note(note, [NoteVerifier.parse(LOG.verifier_key)])
    opened = open_note(note + own.line, [NoteVerifier.parse(LOG.verifier_key)])
    assert len(opened.unknown) == 2


SIGNATURE = NOTE.rsplit(" ", maxsplit=1)[-1].strip()
MALFORMED = {
    "empty": "",
    "only text": "This is an example message.\n",
    "no empty line": NOTE.replace("\n\n", "\n"),
    "no signature": "This is an example message.\n\n",
    "no newline at the end": NOTE[:-1],
    "a newline too many": NOTE + "\n",
    "a hyphen for the dash": NOTE.replace("—", "-"),
    "no dash": NOTE.replace("— ", ""),
    "two spaces": NOTE.replace("— ", "—  "),
    "a space at the end of the line": NOTE[:-1] + " \n",
    "a plus in the name": NOTE.replace("foo ", "f+oo "),
    "a wide space in the name": NOTE.replace("foo ", "f\u2003oo "),
    "no name": NOTE.replace("example.com/foo ", ""),
    "a carriage return": NOTE.replace("\n", "\r\n"),
    "a tab in the text": NOTE.replace("an example", "an\texample"),
    "a null in the text": NOTE.replace("an example", "an\0example"),
    "no UTF-8": NOTE.replace("an example", "an \ud800 example"),
    "base 64 without padding": NOTE.replace("=", ""),
    "base 64 for addresses": NOTE.replace("n8srV", "n-_rV"),
    "base 64 with loose bits": NOTE.replace("QM=", "QN="),
    "base 64 over two lines": NOTE.replace("n8", "n8\n"),
    "an id without signature": NOTE.replace(SIGNATURE, "Uw2QOg=="),
    "a signature cut short": NOTE.replace(
        SIGNATURE, base64.b64encode(base64.b64decode(SIGNATURE)[:-1]).decode()
    ),
    "a signature and a byte": NOTE.replace(
        SIGNATURE, base64.b64encode(base64.b64decode(SIGNATURE) + b"x").decode()
    ),
    "another text": NOTE.replace("example message", "example Message"),
    "a line of something else": NOTE + "hello\n",
    "too many lines": NOTE + "— w.example AAAAAAAAAAA=\n" * MAX_SIGNATURES,
    "too large": "x" * 1_000_000 + NOTE,
}


@pytest.mark.parametrize("note", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_note_is_refused(note: str) -> None:
    """Every malformed form, and every signature that is not the key's over this text."""
    with pytest.raises(NoteInvalid):
        open_note(note, [VERIFIER])


def test_as_many_lines_as_are_allowed_open() -> None:
    """The limit lies far above the sixteen signatures that everybody must accept."""
    note = NOTE + "— w.example AAAAAAAAAAA=\n" * (MAX_SIGNATURES - 1)
    assert len(open_note(note, [VERIFIER]).unknown) == MAX_SIGNATURES - 1


BAD_KEYS = {
    "empty": "",
    "two parts": "example.com/foo+530d903a",
    "another id": KEY.replace("530d903a", "530d903b"),
    "capital hexadecimal": KEY.replace("530d903a", "530D903A"),
    "another name": KEY.replace("foo", "fou"),
    "a space in the name": KEY.replace("foo", "f oo"),
    "no name": KEY.removeprefix("example.com/foo"),
    "another kind": verifier_key("x", b"k" * 32).replace("AW", "Am"),
    "a short key": f"x+{hashlib.sha256(b'x' + bytes((10, 1, 7))).hexdigest()[:8]}+AQc=",
    "no base 64": KEY[:-1] + "!",
    "a newline": KEY + "\n",
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_what_is_no_verifier_key_is_refused(key: str) -> None:
    """A key that was mistyped is found before it is relied on."""
    with pytest.raises(NoteInvalid):
        NoteVerifier.parse(key)


@pytest.mark.parametrize("character", ["\t", "\r", "\0", "\x1f"])
def test_control_characters_spoil_a_note_however_well_it_is_signed(character: str) -> None:
    """A terminal would show another text than the one that was signed."""
    text = f"one{character}two\n"
    with pytest.raises(NoteInvalid, match="control"):
        open_note(text + "\n" + LOG.signature(text).line, [NoteVerifier.parse(LOG.verifier_key)])


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\rb\n"])
def test_what_cannot_stand_in_a_note_is_not_signed(text: str) -> None:
    """A text without its last newline or with control characters has no note."""
    with pytest.raises(NoteInvalid):
        sign(text, [LOG])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_key_needs_a_name(name: str) -> None:
    """Names with spaces or plus signs could not be read back."""
    with pytest.raises(NoteInvalid):
        NoteSigner(name, Ed25519PrivateKey.generate())


def test_a_note_without_signer_is_none() -> None:
    """Nobody vouches for it."""
    with pytest.raises(NoteInvalid):
        sign(TEXT, [])


def test_a_note_may_be_as_large_as_that_and_no_larger() -> None:
    """A million bytes open, of which the text's own count."""
    room = MAX_NOTE_BYTES - len(sign("\n", [LOG]).encode())
    verifier = NoteVerifier.parse(LOG.verifier_key)
    assert len(open_note(sign("x" * room + "\n", [LOG]), [verifier]).text) == room + 1
    with pytest.raises(NoteInvalid, match="too large"):
        open_note(sign("x" * (room + 1) + "\n", [LOG]), [verifier])
    assert (MAX_NOTE_BYTES, MAX_SIGNATURES) == (1_000_000, 100)
    assert repr(LOG) == f"NoteSigner({LOG.verifier_key})"


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (NOTE.replace(SIGNATURE, "Uw2QOg=="), "holds no signature"),
        (MALFORMED["a signature cut short"], "not the length"),
        (MALFORMED["no newline at the end"], "no text, or no signature lines"),
        (MALFORMED["no empty line"], "no text, or no signature lines"),
    ],
)
def test_what_is_wrong_with_a_note_is_told(note: str, why: str) -> None:
    """In words of its own for each, so that an auditor finds it."""
    with pytest.raises(NoteInvalid, match=why):
        open_note(note, [VERIFIER])
