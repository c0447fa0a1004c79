"""Certificates of clients: the headers that bring them, what is read in them, and what is bound to them."""

import base64
from typing import Any

import pytest

from sca_service.api.certificates.header import CertificateHeaders, read_headers
from sca_service.api.certificates.model import Authority, Binding, Certificate, UnreadableCertificate
from sca_service.kernel.addresses import Network, read_networks
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.entrance import read_entrance
from sca_service.kernel.errors import Unauthorized
from tests.certificates import TestAuthority

PROXY, STRANGER = "10.1.0.7", "10.1.0.8"
AUTHORITY = TestAuthority.make()
BANK = AUTHORITY.issue(organisation="PSDDE-BAFIN-123456", roles=["PSP_PI", "PSP_AI"])
NOW_MS = SystemClock().now_ms()
DAY_MS = 86_400_000


def networks(*texts: str) -> tuple[Network, ...]:
    """The networks that a setting lists."""
    return read_networks(list(texts), "proxies", [])


def request(peer: str | None, *headers: tuple[str, str]) -> Any:
    """An ASGI request from a peer."""
    return {
        "client": (peer, 4711) if peer else None,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def test_a_certificate_is_read_as_rfc_9440_writes_it() -> None:
    """A byte sequence of DER in base64: thumbprint, subject and PSD2 identifier are those of the certificate."""
    read = CertificateHeaders(networks(PROXY)).of(request(PROXY, ("client-cert", BANK.header)))
    assert read is not None
    assert read.thumbprint == BANK.thumbprint
    assert read.subject == BANK.certificate.subject.rfc4514_string()
    assert read.organisation is not None
    assert read.organisation.identifier == "PSDDE-BAFIN-123456"
    assert read.organisation.roles == ("PSP_AI", "PSP_PI")


def test_rfc_9440s_own_example_is_read() -> None:
    """The certificate of its appendix A, as its figure 2 carries it."""
    sent = (
        ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVk"
        "aWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8Y"
        "nXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNV"
        "HSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYm"
        "RjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5Xa"
        "rmPk0wmuydBVoU4hBVZ1yhk=:"
    )
    read = read_headers(sent.encode(), b"")
    assert read is not None
    assert read.subject == "CN=BC"
    assert not read.is_valid_at(NOW_MS)


@pytest.mark.parametrize(
    ("peer", "proxies"),
    [(STRANGER, (PROXY,)), (None, (PROXY,)), ("", (PROXY,)), ("not an address", (PROXY,)), (PROXY, ())],
)
def test_only_a_proxy_of_ours_is_believed(peer: str | None, proxies: tuple[str, ...]) -> None:
    """From anybody else the header counts for nothing, however it looks."""
    headers = CertificateHeaders(networks(*proxies))
    for value in (BANK.header, "rubbish", "::"):
        assert headers.of(request(peer, ("client-cert", value))) is None


@pytest.mark.parametrize(
    "value",
    [
        "rubbish",
        ":",
        "::x",
        BANK.header[1:],
        BANK.header[:-1],
        BANK.header + ";by=me",
        f"{BANK.header}, ",
        BANK.header.replace("M", "!", 1),
        ":" + base64.b64encode(BANK.der[:-1]).decode() + ":",
        ":" + base64.b64encode(BANK.der + b"\0").decode() + ":",
        ":" + base64.b64encode(BANK.pem).decode() + ":",
    ],
)
def test_what_cannot_be_read_is_refused(value: str) -> None:
    """A proxy of ours that writes this is at fault, or somebody wrote it for it: nobody comes in by it."""
    headers = CertificateHeaders(networks(PROXY))
    with pytest.raises(Unauthorized):
        headers.of(request(PROXY, ("client-cert", value)))
    with pytest.raises(Unauthorized):
        headers.of(request(PROXY, ("client-cert", BANK.header), ("client-cert-chain", value)))


def test_two_certificates_are_one_too_many() -> None:
    """A proxy that adds its header to the caller's own would let anybody in."""
    headers = CertificateHeaders(networks(PROXY))
    other = AUTHORITY.issue("other.example")
    with pytest.raises(Unauthorized):
        headers.of(request(PROXY, ("client-cert", BANK.header), ("client-cert", other.header)))


def test_a_list_is_no_certificate() -> None:
    """`Client-Cert` is one certificate; the list is the chain's."""
    with pytest.raises(Unauthorized):
        read_headers(f"{BANK.header}, {BANK.header}".encode(), b"")


def test_no_certificate_is_none() -> None:
    """Without the header, or with the empty sequence that some proxies write, there is no certificate."""
    headers = CertificateHeaders(networks(PROXY))
    assert headers.of(request(PROXY)) is None
    assert headers.of(request(PROXY, ("client-cert", "::"))) is None


def test_a_chain_may_not_be_long() -> None:
    """Eight between certificate and authority are enough for anybody."""
    one = AUTHORITY.issued.header
    headers = CertificateHeaders(networks(PROXY))
    with pytest.raises(Unauthorized):
        headers.of(request(PROXY, ("client-cert", BANK.header), ("client-cert-chain", ", ".join([one] * 9))))


@pytest.mark.parametrize(
    ("organisation", "roles"),
    [
        ("", ["PSP_PI"]),
        ("PSDDE-BAFIN-123456", []),
        ("VATDE-123456789", ["PSP_PI"]),
        ("PSDde-BAFIN-1", ["PSP_PI"]),
        ("PSDDE-BAFIN-1\n2", ["PSP_PI"]),
    ],
)
def test_an_organisation_needs_identifier_and_statement(organisation: str, roles: list[str]) -> None:
    """Who is no payment service provider by both has no PSD2 identifier."""
    issued = AUTHORITY.issue(organisation=organisation, roles=roles)
    assert Certificate.parse(issued.der).organisation is None


def test_a_thumbprint_binds_to_one_certificate() -> None:
    """Another of the same subject and authority will not do, nor the same one outside its time."""
    binding = Binding("bnd_1", BANK.thumbprint, "")
    shown = Certificate.parse(BANK.der)
    same_name = AUTHORITY.issue(organisation="PSDDE-BAFIN-123456", roles=["PSP_PI", "PSP_AI"])
    assert binding.admits(shown, NOW_MS)
    assert not binding.admits(shown, NOW_MS + 2 * DAY_MS)
    assert not binding.admits(shown, NOW_MS - 2 * DAY_MS)
    assert not binding.admits(Certificate.parse(same_name.der), NOW_MS)


def test_a_subject_binds_to_what_its_authority_issues() -> None:
    """A renewed one of the subject will do; one of another subject, or of an authority of the same name, not."""
    authority = Authority(AUTHORITY.issued.der)
    binding = Binding("bnd_1", "", BANK.certificate.subject.rfc4514_string(), authority)
    renewed = AUTHORITY.issue(organisation="PSDDE-BAFIN-123456")
    other_name = AUTHORITY.issue("other.example", organisation="PSDDE-BAFIN-123456")
    impostor = TestAuthority.make().issue(organisation="PSDDE-BAFIN-123456")
    assert impostor.certificate.subject == renewed.certificate.subject
    for issued, admitted in ((BANK, True), (renewed, True), (other_name, False), (impostor, False)):
        for _ in range(2):  # as it is looked at, and as it is remembered
            assert binding.admits(Certificate.parse(issued.der), NOW_MS) is admitted
    assert not binding.admits(Certificate.parse(renewed.der), NOW_MS + 2 * DAY_MS)


def test_a_chain_leads_to_the_authority() -> None:
    """What an intermediate authority issued is admitted with the chain, and not without it or by another."""
    between = TestAuthority.make("Intermediate", by=AUTHORITY)
    issued = between.issue()
    binding = Binding(
        "bnd_1", "", issued.certificate.subject.rfc4514_string(), Authority(AUTHORITY.issued.der)
    )
    alone, other = issued.header, TestAuthority.make("Intermediate").issued.header
    for chain, admitted in ((between.issued.header, True), ("", False), (other, False)):
        shown = read_headers(alone.encode(), chain.encode())
        assert shown is not None
        assert binding.admits(shown, NOW_MS) is admitted


def test_an_authority_that_cannot_be_read_is_told() -> None:
    """Rather than bind to nothing."""
    with pytest.raises(UnreadableCertificate):
        Authority(b"rubbish")


@pytest.mark.parametrize("proxies", ["10.1.0.7", ["everywhere"], ["0.0.0.0/0"], ["10.0.0.0/8", "::/0"]])
def test_proxies_that_are_none_are_mistakes(proxies: object) -> None:
    """A name, or everybody, is not the address of a proxy."""
    mistakes: list[str] = []
    read_entrance({"certificate_proxies": proxies}, mistakes)
    assert len(mistakes) == 1
