"""The payee's account: an IBAN (ISO 13616) or a national account number (BBAN)."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from sca_service.kernel.errors import InvalidInput

_BBAN_STRUCTURES: Final = (
    "AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c "
    "CR18n CY8n16c CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n "
    "GB4a14n GE2a16n GI4a15c GL14n GR7n16c GT24c HN4a20n HR17n HU24n IE4a14n IL19n IQ4a15n IS22n "
    "IT1a10n12c JO4a4n18c KW4a22c KZ3n13c LB4n20c LC4a24c LI5n12c LT16n LU3n13c LV4a13c LY21n MC10n11c2n "
    "MD20c ME18n MK3n10c2n MN16n MR23n MT4a5n18c MU4a19n3a NI4a20n NL4a10n NO11n OM3n16c PK4a16c PL24n "
    "PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c SC4a20n3a SD14n SE20n SI15n SK20n SM1a10n12c "
    "SO19n ST21n SV4a20n TL19n TN20n TR6n16c UA6n19c VA18n VG4a16n XK16n YE4a4n18c"
)
"""The account part per country (SWIFT IBAN registry, release 101): `n` digits, `a` letters, `c` either.

`AD8n12c`: in Andorra 8 digits, then 12 digits or letters.
"""

_CHARACTERS: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_LETTERS_AS_DIGITS: Final = {ord("A") + place: str(10 + place) for place in range(26)}
_MOST_IBAN_SPELLING: Final = 64
_BBAN: Final = re.compile(r"[A-Za-z0-9]{1,30}")


def _pattern(country: str, structure: str) -> re.Pattern[str]:
    """A country's whole IBAN. Check digits run from 02 to 98: 00, 01 and 99 would spell an account twice."""
    parts = re.findall(r"(\d+)([nac])", structure)
    account = "".join(f"{_CHARACTERS[kind]}{{{count}}}" for count, kind in parts)
    return re.compile(f"{country}(?!00|01|99)[0-9]{{2}}{account}")


_IBANS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {entry[:2]: _pattern(entry[:2], entry[2:]) for entry in _BBAN_STRUCTURES.split()}
)


class Account(msgspec.Struct, frozen=True):
    """Where a payee is paid: exactly one of `iban` and `bban`. Its `repr` shows neither."""

    iban: str | None = None
    """Upper case, no spaces, check digits right."""
    bban: str | None = None
    """1 to 30 ASCII letters and digits, as sent: case can matter in a national number."""

    def __repr__(self) -> str:
        return "Account()"

    @classmethod
    def parse(cls, *, iban: str | None = None, bban: str | None = None) -> "Account":
        """Read an account; spaces and lower case in an IBAN are normalised away.

        Raises `InvalidInput` at `/iban`, `/bban`, or `""` when not exactly one of them is given.
        """
        if iban is not None and bban is None:
            return cls(iban=_parse_iban(iban))
        if bban is not None and iban is None:
            if not _BBAN.fullmatch(bban):
                raise InvalidInput.at("/bban", "must be 1 to 30 ASCII letters and digits")
            return cls(bban=bban)
        raise InvalidInput.at("", "must have exactly one of iban and bban")

    @property
    def tail(self) -> str:
        """The last four characters: what a payer compares in the message shown."""
        return (self.iban or self.bban or "")[-4:]


def _parse_iban(text: str) -> str:
    """The IBAN in its electronic form, or `InvalidInput` at `/iban`."""
    if len(text) > _MOST_IBAN_SPELLING or not text.isascii():
        raise InvalidInput.at("/iban", "must be an IBAN of at most 34 ASCII letters and digits")
    iban = text.replace(" ", "").upper()
    pattern = _IBANS.get(iban[:2])
    if pattern is None:
        raise InvalidInput.at("/iban", "must begin with a country of the IBAN registry")
    if not pattern.fullmatch(iban):
        raise InvalidInput.at("/iban", "does not have the structure of its country's IBANs")
    if int((iban[4:] + iban[:4]).translate(_LETTERS_AS_DIGITS)) % 97 != 1:
        raise InvalidInput.at("/iban", "has wrong check digits")
    return iban
