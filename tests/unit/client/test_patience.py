"""When a call is sent again: not for ever, not at once, and not what would be done twice."""

import pytest

from sca_service.client.faults import Refused, Unavailable, Unreadable, fault_of
from sca_service.client.patience import Patience, may_pass


def test_pauses_grow_and_end() -> None:
    """Twice as long each time, by chance, until the tries or the time are used up."""
    patience = Patience(tries=4, seconds=10)
    for tried, longest in ((1, 0.1), (2, 0.2), (3, 0.4)):
        pause = patience.pause(tried, spent_seconds=0, told_seconds=None)
        assert pause is not None
        assert longest / 2 <= pause <= longest
    assert patience.pause(4, spent_seconds=0, told_seconds=None) is None
    assert patience.pause(1, spent_seconds=10, told_seconds=None) is None


def test_what_the_service_tells_is_kept() -> None:
    """`Retry-After` decides, unless it is longer than there is patience."""
    patience = Patience(seconds=10)
    assert patience.pause(1, spent_seconds=1, told_seconds=9) == 9
    assert patience.pause(1, spent_seconds=2, told_seconds=9) is None


@pytest.mark.parametrize(
    ("status", "content", "repeats", "passes"),
    [
        (429, b"", True, True),
        (503, b"", True, True),
        (409, b'{"code":"request-in-flight"}', True, True),
        (409, b'{"code":"no-more-channels"}', True, False),
        (500, b"", True, False),
        (422, b"", True, False),
        (429, b"", False, True),
        (503, b"", False, False),
    ],
)
def test_what_passes_is_waited_for(status: int, content: bytes, repeats: bool, passes: bool) -> None:
    """Only what passes by itself; and of what would be done twice only where nothing was done."""
    assert may_pass(status, content, repeats=repeats) is passes


def test_faults_are_told_apart() -> None:
    """5xx is no answer, 4xx is a problem document, and anything else is none of the service's."""
    assert isinstance(fault_of(500, b"", None), Unavailable)
    assert isinstance(fault_of(418, b"teapot", None), Unreadable)
    refused = fault_of(400, b'{"code":"odd","status":400}', "7")
    assert isinstance(refused, Refused)
    assert refused.retry_after_seconds == 7
