"""Certificates: of servers on loopback, trusted by nobody but the test, and of clients, with an authority."""

import base64
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate in a file, with its key."""

    path: Path

    def server(self, *protocols: str) -> ssl.SSLContext:
        """A server's context; `protocols` are what it offers by ALPN."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts this certificate alone."""
        return ssl.create_default_context(cafile=str(self.path))


def make_certificate(folder: Path, name: str = "localhost") -> Certificate:
    """A new one in a file of the folder, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return Certificate(path)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that an authority issued, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """As `Client-Cert` carries it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """As operators are given it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pem_with_key(self) -> bytes:
        """As TLS libraries read it."""
        return self.pem + self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def header(self) -> str:
        """The value of `Client-Cert` (RFC 9440, section 2.2)."""
        return f":{base64.b64encode(self.der).decode()}:"

    @property
    def thumbprint(self) -> str:
        """`x5t#S256`."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).rstrip(b"=").decode()


_PSD2_ROLES = {"PSP_AS": 1, "PSP_PI": 2, "PSP_AI": 3, "PSP_IC": 4}


def qc_statements(*roles: str) -> x509.UnrecognizedExtension:
    """QCStatements: one that has nothing to do with PSD2, then PSD2's with these roles (ETSI TS 119 495)."""

    def encoded(tag: int, *parts: bytes) -> bytes:
        inner = b"".join(parts)
        assert len(inner) < 128
        return bytes((tag, len(inner))) + inner

    def oid(*numbers: int) -> bytes:
        first, second, *others = numbers
        return encoded(6, *(arc(number) for number in (first * 40 + second, *others)))

    def arc(number: int) -> bytes:
        digits = [number & 127]
        while number := number >> 7:
            digits.insert(0, 0x80 | number & 127)
        return bytes(digits)

    listed = [
        encoded(0x30, oid(0, 4, 0, 19495, 1, _PSD2_ROLES[role]), encoded(0x0C, role.encode()))
        for role in roles
    ]
    psd2 = encoded(0x30, encoded(0x30, *listed), encoded(0x0C, b"BaFin"), encoded(0x0C, b"DE-BAFIN"))
    content = encoded(
        0x30, encoded(0x30, oid(0, 4, 0, 1862, 1, 1)), encoded(0x30, oid(0, 4, 0, 19495, 2), psd2)
    )
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), content)


@dataclass(frozen=True, slots=True)
class TestAuthority:
    """A certificate authority for a day."""

    __test__ = False
    issued: Issued

    @classmethod
    def make(cls, name: str = "Test CA", by: "TestAuthority | None" = None) -> "TestAuthority":
        """A new one, by itself or by another."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = by.issued if by else None
        builder = (
            _dated(subject, issuer.certificate.subject if issuer else subject, key.public_key())
            .add_extension(
                x509.BasicConstraints(ca=True, path_length=None if by is None else 0), critical=True
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if issuer:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
            )
        return cls(Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key))

    def issue(
        self,
        name: str = "api.bank.example",
        *,
        organisation: str = "",
        roles: Sequence[str] = (),
        days: tuple[int, int] = (-1, 1),
    ) -> Issued:
        """A client's certificate, good from and until so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organisation:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, organisation))
        issuer = self.issued
        builder = (
            _dated(x509.Name(attributes), issuer.certificate.subject, key.public_key(), days)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
            )
        )
        if roles:
            builder = builder.add_extension(qc_statements(*roles), critical=False)
        return Issued(builder.sign(issuer.key, hashes.SHA256()), key)


def _dated(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: tuple[int, int] = (-1, 1)
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )
