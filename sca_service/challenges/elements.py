"""Which elements an approval establishes, and whether they are strong customer authentication. Pure."""

from collections.abc import Collection, Sequence

import msgspec

from sca_service.authenticators.model import Element
from sca_service.policy.model import Channel, Regime


class Presented(msgspec.Struct, frozen=True):
    """An element that the client has verified; `over` is the channel it came by, where that is one of ours."""

    element: Element
    over: Channel | None = None


class Established(msgspec.Struct, frozen=True):
    """The categories that an approval establishes, in their order, and whether they make it strong."""

    categories: tuple[Element, ...]
    is_sca: bool


def established(
    own: Sequence[Element],
    presented: Sequence[Presented],
    *,
    channels: Collection[Channel],
    regime: Regime,
) -> Established:
    """What `own` elements of a challenge and those `presented` come to.

    `channels` are those that the challenge's code may travel by. What was presented over one of them is left out: a PIN
    typed into the thread that the code arrives in falls with it, so the two are not independent (RTS Art. 9(1)). Two
    elements of one category are strong under `psr` alone.
    """
    independent = [one.element for one in presented if one.over is None or one.over not in channels]
    elements = [*own, *independent]
    categories = tuple(element for element in Element if element in elements)
    enough = len(elements) if regime is Regime.PSR else len(categories)
    return Established(categories, is_sca=enough >= 2)
