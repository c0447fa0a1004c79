"""What an eIDAS certificate says of a payment service provider: ETSI TS 119 495, clauses 5.1 and 5.2.1.

The subject's `organizationIdentifier` is `PSD`, the country, the competent authority's id and the authorisation number,
`PSDDE-BAFIN-123456`. One of the QCStatements (RFC 3739, section 3.2.6) names the roles and that authority::

    PSD2QcType ::= SEQUENCE { rolesOfPSP RolesOfPSP, nCAName UTF8String, nCAId UTF8String }
    RoleOfPSP  ::= SEQUENCE { roleOfPspOid OBJECT IDENTIFIER, roleOfPspName UTF8String }
"""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import NameOID

_QC_STATEMENTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
_PSD2 = x509.ObjectIdentifier("0.4.0.19495.2")
_ROLES = {f"0.4.0.19495.1.{number}": f"PSP_{name}" for number, name in enumerate(("AS", "PI", "AI", "IC"), 1)}
_ORGANISATION = re.compile(r"PSD[A-Z]{2}-[A-Z]{2,8}-[A-Za-z0-9./+ -]{1,128}")


@asn1.sequence
class _Role:
    oid: x509.ObjectIdentifier
    name: str


@asn1.sequence
class _Psd2Type:
    roles: list[_Role]
    authority_name: str
    authority: str


@asn1.sequence
class _Psd2Statement:
    oid: x509.ObjectIdentifier
    content: _Psd2Type


@asn1.sequence
class _Statements:
    """In a sequence of its own, since the parser takes no list at the top."""

    all: list[asn1.TLV]


@asn1.sequence
class _Around:
    inner: asn1.TLV


@dataclass(frozen=True, slots=True)
class Organisation:
    """A payment service provider: its PSD2 identifier, and its roles (`PSP_AS`, `PSP_PI`, `PSP_AI`, `PSP_IC`)."""

    identifier: str
    roles: tuple[str, ...]


def organisation_of(certificate: x509.Certificate) -> Organisation | None:
    """Whom a certificate is for, None where it names no PSD2 identifier or has no statement that says so.

    The role is read from its number: its name is for people, and anybody's text.
    """
    named = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER)
    if len(named) != 1 or not _ORGANISATION.fullmatch(str(named[0].value)):
        return None
    for statement in _statements_of(certificate):
        try:
            said = statement.parse(_Psd2Statement)
        except ValueError:  # another statement, of another shape
            continue
        if said.oid == _PSD2:
            numbers = [role.oid.dotted_string for role in said.content.roles]
            roles = tuple(sorted({_ROLES[number] for number in numbers if number in _ROLES}))
            return Organisation(str(named[0].value), roles)
    return None


def _statements_of(certificate: x509.Certificate) -> list[asn1.TLV]:
    try:
        extension = certificate.extensions.get_extension_for_oid(_QC_STATEMENTS).value
        raw = extension.public_bytes()
        return asn1.decode_der(
            _Statements, asn1.encode_der(_Around(inner=asn1.decode_der(asn1.TLV, raw)))
        ).all
    except (x509.ExtensionNotFound, ValueError):
        return []
