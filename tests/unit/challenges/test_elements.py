"""Which elements an approval establishes, and when two are two (RTS Art. 4(1) and 9)."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.authenticators.model import Element
from sca_service.challenges.elements import Established, Presented, established
from sca_service.policy.model import Channel, Regime

K, P, I = Element.KNOWLEDGE, Element.POSSESSION, Element.INHERENCE  # noqa: E741 - as in the tables of the EBA

own_elements = st.lists(st.sampled_from(Element), min_size=1, max_size=2, unique=True)
presented_elements = st.lists(
    st.builds(Presented, st.sampled_from(Element), st.none() | st.sampled_from(Channel)), max_size=3
)
channels_used = st.sets(st.sampled_from(Channel))


def reached(
    own: Sequence[Element],
    *presented: Presented,
    channels: Sequence[Channel] = (Channel.SMS,),
    regime: Regime = Regime.PSD2,
) -> Established:
    """What these come to."""
    return established(own, presented, channels=channels, regime=regime)


@pytest.mark.parametrize(
    ("own", "presented", "categories", "is_sca"),
    [
        ([P], [], (P,), False),
        ([P], [K], (K, P), True),
        ([P], [I], (P, I), True),
        ([P], [P], (P,), False),
        ([P], [P, P], (P,), False),
        ([K, P], [], (K, P), True),
        ([P, I], [], (P, I), True),
        ([P, I], [K], (K, P, I), True),
        ([K, P], [K], (K, P), True),
    ],
)
def test_two_elements_are_of_two_categories(
    own: list[Element], presented: list[Element], categories: tuple[Element, ...], is_sca: bool
) -> None:
    """PSD2 Art. 4(30): two or more of different categories; they are told in one order, each once."""
    assert reached(own, *map(Presented, presented)) == Established(categories, is_sca)


def test_what_came_by_the_code_s_own_channel_is_left_out() -> None:
    """RTS Art. 9(1): a PIN typed into the thread that the code arrives in falls with it."""
    assert reached([P], Presented(K, Channel.SMS)) == Established((P,), is_sca=False)
    assert reached([P], Presented(K, Channel.VOICE)) == Established((K, P), is_sca=True)
    assert reached([P], Presented(K)) == Established((K, P), is_sca=True)


def test_any_channel_that_the_code_may_come_by_counts() -> None:
    """It need not be the first: a ladder that may reach the text thread makes what was typed there dependent."""
    ladder = (Channel.PUSH, Channel.SMS, Channel.VOICE)
    for channel in ladder:
        assert not reached([P], Presented(K, channel), channels=ladder).is_sca
    assert reached([P], Presented(K, Channel.SMS), channels=()).is_sca, "nothing is sent"


def test_one_dependent_element_does_not_spoil_another() -> None:
    """Inherence in the bank's app beside a PIN by text: the first still counts."""
    assert reached([P], Presented(K, Channel.SMS), Presented(I)) == Established((P, I), is_sca=True)


def test_two_of_one_category_are_strong_under_psr_alone() -> None:
    """Proposal COM(2023)367, Art. 85(12); they still have to be independent."""
    assert reached([P], Presented(P), regime=Regime.PSR) == Established((P,), is_sca=True)
    assert not reached([P], Presented(P)).is_sca
    assert not reached([P], Presented(P, Channel.SMS), regime=Regime.PSR).is_sca
    assert not reached([P], regime=Regime.PSR).is_sca


@given(own_elements, presented_elements, channels_used)
def test_psr_is_never_stricter_than_psd2(
    own: list[Element], presented: list[Presented], channels: set[Channel]
) -> None:
    """What is strong of two categories is strong of any; the categories are the same."""
    strict = established(own, presented, channels=channels, regime=Regime.PSD2)
    wide = established(own, presented, channels=channels, regime=Regime.PSR)
    assert strict.categories == wide.categories
    assert wide.is_sca or not strict.is_sca


@given(own_elements, presented_elements, channels_used, st.sampled_from(Channel), st.sampled_from(Regime))
def test_one_channel_more_makes_nothing_stronger(
    own: list[Element], presented: list[Presented], channels: set[Channel], more: Channel, regime: Regime
) -> None:
    """A further way for the code can only take away; the challenge's own elements always stay."""
    before = established(own, presented, channels=channels, regime=regime)
    after = established(own, presented, channels=channels | {more}, regime=regime)
    assert set(own) <= set(after.categories) <= set(before.categories)
    assert before.is_sca or not after.is_sca
