"""E-mail against aiosmtpd: TLS is required and checked, mails arrive whole, and every refusal is understood."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from sca_service.delivery.channels.email.smtp.supplier import SmtpSupplier, build
from sca_service.delivery.supplier import FailureReason, Message, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.template import Placeholder
from tests.certificates import Certificate, make_certificate
from tests.devices import DELIVERY, context_for
from tests.ports import free_port

TO = "payer@example.org"
TEXT = "Kontostand niedrig: 12,34 €\n.\nनमस्ते"
PASSWORD = "an example password"


@dataclass
class MailServer:
    """What arrived, and how the server answers (`""`: as it should)."""

    port: int = 0
    mails: list[Envelope] = field(default_factory=list)
    connections: int = 0
    was_tls: list[bool] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    to_rcpt: str = ""
    to_data: str = ""
    is_silent: bool = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """The recipient."""
        if not self.to_rcpt:
            envelope.rcpt_tos.append(address)
        return self.to_rcpt or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The mail."""
        transport = cast("asyncio.Transport", server.transport)
        if self.is_silent:
            transport.abort()
        self.mails.append(envelope)
        self.was_tls.append(session.ssl is not None or transport.get_extra_info("ssl_object") is not None)
        return self.to_data or "250 2.0.0 Ok: queued as 4XyZ"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, how: str, said: Any
    ) -> AuthResult:
        """Whoever logs in."""
        self.logins.append((said.login, said.password))
        is_right = said.password == PASSWORD.encode()
        return AuthResult(success=is_right, handled=False)  # the server says 235 or 535; else it says nothing

    def newest(self) -> EmailMessage:
        """The newest mail."""
        content = cast("bytes", self.mails[-1].content)
        return email.message_from_bytes(content, policy=email.policy.SMTP)


@asynccontextmanager
async def serving(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[MailServer]:
    """A mail server on loopback."""
    mail_server = MailServer()

    def protocol() -> SMTP:
        mail_server.connections += 1
        return SMTP(
            mail_server,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=login,
            authenticator=mail_server.authenticate,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    mail_server.port = server.sockets[0].getsockname()[1]
    try:
        yield mail_server
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def sending(port: int, **options: object) -> AsyncIterator[SmtpSupplier]:
    """Our side; without TLS unless said otherwise."""
    chosen = {
        "host": "localhost",
        "port": port,
        "sender": "alerts@bank.example",
        "security": "none",
        **options,
    }
    supplier = build(context_for("smtp", chosen, {"password": PASSWORD}))
    try:
        yield supplier
    finally:
        await supplier.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The server's."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder)


def notice(to: str = TO) -> Message:
    """An alert by mail."""
    return Message(DELIVERY, Channel.EMAIL, Secret(to), Secret(TEXT), "de-DE")


async def failure_of(supplier: SmtpSupplier, message: Message | None = None) -> tuple[FailureReason, bool]:
    """Why a mail is not taken, and whether it may be tried again; the error holds no address."""
    with pytest.raises(SupplierFailure) as failure:
        await supplier.send(message or notice())
    error: BaseException | None = failure.value
    while error:
        assert TO not in f"{error!r}{error.args}"
        error = error.__cause__ or error.__context__
    return failure.value.reason, failure.value.transient


async def test_a_mail_arrives_whole() -> None:
    """Envelope, headers and text; the server's name for it is the reference."""
    async with serving() as server, sending(server.port) as supplier:
        accepted = await supplier.send(notice())
        assert (accepted.reference, accepted.segments, accepted.cost) == ("2.0.0 Ok: queued as 4XyZ", 1, None)
        (envelope,) = server.mails
        assert (envelope.mail_from, envelope.rcpt_tos) == ("alerts@bank.example", [TO])
        assert server.newest().get_content().splitlines() == TEXT.splitlines()
        assert server.newest()["X-SCA-Delivery"] == DELIVERY


async def test_starttls(certificate: Certificate) -> None:
    """The conversation goes on encrypted, with the certificate checked, and only then logs in."""
    async with (
        serving(starttls=certificate.server(), login=True) as server,
        sending(server.port, security="starttls", authorities=str(certificate.path), login="sca") as supplier,
    ):
        await supplier.send(notice())
        assert server.was_tls == [True]
        assert server.logins == [(b"sca", PASSWORD.encode())]


async def test_tls_from_the_start(certificate: Certificate) -> None:
    """RFC 8314."""
    async with (
        serving(tls=certificate.server()) as server,
        sending(server.port, security="tls", authorities=str(certificate.path)) as supplier,
    ):
        await supplier.send(notice())
        assert server.was_tls == [True]


async def test_a_server_without_tls_gets_nothing() -> None:
    """Nothing is sent in clear where TLS is required, neither a mail nor a password."""
    async with serving() as server:
        for security in ("starttls", "tls"):
            async with sending(server.port, security=security, login="sca") as supplier:
                assert await failure_of(supplier) == (FailureReason.SUPPLIER_DOWN, True)
        assert (server.mails, server.logins) == ([], [])


async def test_a_certificate_that_nobody_vouches_for(certificate: Certificate, tmp_path: Path) -> None:
    """Unknown to the system, or of another name: nothing is sent."""
    other = make_certificate(tmp_path, "other.example")
    async with (
        serving(starttls=certificate.server()) as server,
        sending(server.port, security="starttls") as unknown,
    ):
        assert await failure_of(unknown) == (FailureReason.SUPPLIER_DOWN, True)
        assert server.mails == []
    async with (
        serving(starttls=other.server()) as server,
        sending(server.port, security="starttls", authorities=str(other.path)) as misnamed,
    ):
        assert await failure_of(misnamed) == (FailureReason.SUPPLIER_DOWN, True)
        assert server.mails == []


async def test_a_password_that_is_wrong(certificate: Certificate) -> None:
    """That is about us: another supplier may carry the message."""
    async with serving(starttls=certificate.server(), login=True) as server:
        options = {"security": "starttls", "authorities": str(certificate.path), "login": "sca"}
        context = context_for(
            "smtp",
            {"host": "localhost", "port": server.port, "sender": "alerts@bank.example", **options},
            {"password": "another"},
        )
        supplier = build(context)
        assert await failure_of(supplier) == (FailureReason.SUPPLIER_DOWN, True)
        await supplier.close()
        assert server.mails == []


@pytest.mark.parametrize(
    ("to_rcpt", "to_data", "expected"),
    [
        ("450 4.2.0 greylisted", "", (FailureReason.SUPPLIER_DOWN, True)),
        ("421 4.3.2 closing", "", (FailureReason.SUPPLIER_DOWN, True)),
        ("550 5.1.1 no such mailbox", "", (FailureReason.REJECTED, False)),
        ("", "452 4.3.1 full", (FailureReason.SUPPLIER_DOWN, True)),
        ("", "554 5.7.1 refused", (FailureReason.REJECTED, False)),
    ],
)
async def test_what_a_refusal_means(to_rcpt: str, to_data: str, expected: tuple[FailureReason, bool]) -> None:
    """4xx is for now, 5xx for good; the next mail goes out as if nothing had been."""
    async with serving() as server, sending(server.port) as supplier:
        server.to_rcpt, server.to_data = to_rcpt, to_data
        assert await failure_of(supplier) == expected
        server.to_rcpt = server.to_data = ""
        await supplier.send(notice())


async def test_a_server_that_hangs_up_on_the_mail() -> None:
    """It may have taken it: the mail is not sent again."""
    async with serving() as server, sending(server.port) as supplier:
        server.is_silent = True
        assert await failure_of(supplier) == (FailureReason.TIMEOUT, False)


async def test_a_server_that_is_not_there() -> None:
    """Nothing was handed over."""
    async with sending(free_port()) as supplier:
        assert await failure_of(supplier) == (FailureReason.SUPPLIER_DOWN, True)


async def test_connections_are_used_again_and_bounded() -> None:
    """Twenty mails at once go over two connections, the next one over one of them."""
    async with serving() as server, sending(server.port, connections=2) as supplier:
        await asyncio.gather(*(supplier.send(notice()) for _ in range(20)))
        await supplier.send(notice())
        assert (server.connections, len(server.mails)) == (2, 21)


async def test_a_connection_that_was_closed_meanwhile() -> None:
    """The server ends idle ones: the next mail opens another, and nobody notices."""
    async with serving() as server, sending(server.port) as supplier:
        await supplier.send(notice())
        for connection in supplier._idle:
            cast("asyncio.Transport", connection.transport).abort()
        await supplier.send(notice())
        assert (server.connections, len(server.mails)) == (2, 2)


async def test_a_code_never_goes_by_mail() -> None:
    """NIST SP 800-63B-4 section 3.1.3.1: whatever speaks of a challenge is refused before a connection is made."""
    async with serving() as server, sending(server.port) as supplier:
        coded = replace(notice(), values={Placeholder.CODE: Secret("135790")})
        for message in (coded, replace(notice(), occasion=Occasion.LOGIN)):
            assert await failure_of(supplier, message) == (FailureReason.REJECTED, False)
        assert server.connections == 0


@pytest.mark.parametrize(
    "to", ["", "payer", f"{TO}\r\nRCPT TO:<other@example.org>", f"{TO}, other@example.org", f"<{TO}>"]
)
async def test_an_address_that_is_none(to: str) -> None:
    """It reaches no server."""
    async with serving() as server, sending(server.port) as supplier:
        assert await failure_of(supplier, notice(to)) == (FailureReason.REJECTED, False)
        assert server.connections == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": "mail.bank.example"},
        {"host": "mail.bank.example", "sender": "alerts@bank.example", "security": "none"},
        {"host": "localhost", "sender": "alerts@bank.example", "security": "none", "login": "sca"},
        {"host": "mail.bank.example", "sender": "a@b.example\r\nBcc: c@d.example"},
        {"host": "mail.bank.example", "sender": "alerts@bank.example", "sender_name": "a\nb"},
        {
            "host": "mail.bank.example",
            "sender": "alerts@bank.example",
            "unsubscribe_url": "http://bank.example",
        },
        {"host": "mail.bank.example", "sender": "alerts@bank.example", "authorities": "/nowhere.pem"},
        {"host": "mail.bank.example", "sender": "alerts@bank.example", "password": "in a file"},
    ],
)
def test_a_section_that_is_wrong(options: dict[str, object]) -> None:
    """Every option is checked when the service starts; mail in clear leaves this machine under no option."""
    with pytest.raises(ConfigurationError, match=r"suppliers\.toml:smtp"):
        build(context_for("smtp", options, {"password": PASSWORD}))
