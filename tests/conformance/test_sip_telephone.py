"""Calls to baresip as the telephone: it hears what we say, and we hear the keys that it presses."""

from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sca_service.delivery.channels.voice import keys
from sca_service.delivery.channels.voice.sip import speech
from sca_service.delivery.supplier import ReceiptStatus, Word
from sca_service.kernel.secret import Secret
from tests.peers.telephones import Baresip, baresip
from tests.sip_setup import TEXT, CallEar, correlation, sip_supplier, voice_message


@pytest.fixture
def ear() -> CallEar:
    """What the supplier tells."""
    return CallEar()


@pytest.fixture(params=["PCMA", "PCMU"])
async def telephone(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Baresip]:
    """A telephone that knows one codec."""
    async with baresip(tmp_path, codec=request.param) as telephone:
        yield telephone


async def spoken() -> "array[int]":
    """The whole speech of a call with the usual text, as samples."""
    program = speech.find_program()
    speaker = speech.Speaker(program, speech.voices(program), words_per_minute=240, places=1)
    return array("h", await speaker.speak(Secret(f"{TEXT}\n\n{keys.sentence('en-GB')}"), "en-GB"))


@pytest.mark.long
async def test_what_is_heard_is_what_is_said(telephone: Baresip) -> None:
    """The recording at the telephone is our speech, sample by sample, but for what G.711 rounds; then 9 declines.

    9 is pressed at the last word and comes as a telephone-event in RTP; we hang up.
    """
    ear, sent = CallEar(), await spoken()
    supplier, message = sip_supplier(telephone.port, ear), voice_message()
    await supplier.send(message)
    await telephone.event("CALL_ESTABLISHED")
    assert await ear.status() is ReceiptStatus.ANSWERED
    await telephone.hears(len(sent) / 8_000)
    await telephone.press("9")
    assert await ear.next() == Word(declined=(message.delivery_id,))
    await telephone.event("CALL_CLOSED")
    await supplier.close()
    assert correlation(sent, telephone.recorded()) > 0.99


async def test_a_payer_who_hangs_up_is_let_go(tmp_path: Path) -> None:
    """Who hangs up before we spoke has heard no code: not answered, and the call is over for us."""
    ear = CallEar()
    async with baresip(tmp_path) as telephone:
        supplier = sip_supplier(telephone.port, ear)
        await supplier.send(voice_message())
        await telephone.event("CALL_ESTABLISHED")
        await telephone.hang_up()
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        await supplier.close()
    assert ear.words.empty()
