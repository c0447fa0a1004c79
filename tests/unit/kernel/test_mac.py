"""HMAC-SHA256 as others make it."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.kernel.mac import Mac

VECTORS = (
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
)


@pytest.mark.parametrize(("key", "message", "code"), VECTORS)
def test_the_vectors_of_rfc_4231(key: bytes, message: bytes, code: str) -> None:
    """Test cases 1, 2 and 6: a short key, one of words, and one longer than a block."""
    assert Mac(key).of(message).hex() == code


@given(st.binary(max_size=200), st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_it_is_what_the_standard_library_makes(key: bytes, messages: list[bytes]) -> None:
    """Of any key and message; one message leaves nothing behind for the next."""
    mac = Mac(key)
    assert [mac.of(one) for one in messages] == [hmac.digest(key, one, "sha256") for one in messages]


def test_it_does_not_show_its_key() -> None:
    """Neither in a log nor in a traceback."""
    assert repr(Mac(b"secret key")) == "Mac()"
