"""Hands alerts and notices to a mail server. A code never goes by mail (NIST SP 800-63B-4 section 3.1.3.1)."""

import asyncio
import ssl

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.email.smtp.settings import PASSWORD, Settings
from sca_service.delivery.channels.email.smtp.wire import Mail, mail_of
from sca_service.delivery.supplier import Accepted, FailureReason, Message, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel
from sca_service.policy.template import Placeholder

STEP_SECONDS = 8.0
"""How long one step of the conversation may take; the dispatcher's own deadline ends the whole."""

_LONGEST_REFERENCE = 128


class SmtpSupplier:
    """Carries e-mail. A class because it holds the connections, which are used again."""

    channel = Channel.EMAIL

    def __init__(
        self, context: Context, settings: Settings, tls: ssl.SSLContext, password: Secret[str] | None
    ) -> None:
        self.name = context.rule.name
        self._settings = settings
        self._tls = tls
        self._password = password
        self._clock = context.clock
        self._room = asyncio.Semaphore(settings.connections)
        self._idle: list[SMTP] = []

    async def send(self, message: Message) -> Accepted:
        """Hand one mail over. Raises SupplierFailure; `rejected` for everything that speaks of a challenge."""
        if message.occasion is not None or Placeholder.CODE in message.values:
            raise SupplierFailure(FailureReason.REJECTED, transient=False)
        try:
            mail = mail_of(message, self._settings, self._clock.now_ms())
        except ValueError:
            mail = None
        if mail is None:
            raise SupplierFailure(FailureReason.REJECTED, transient=False)
        async with self._room:
            connection = await self._connection()
            reply, failure = await self._converse(connection, mail)
        if failure:  # raised out of reach of the library's error, which holds the address
            raise failure
        return Accepted(_reference(reply), 1, None)

    async def close(self) -> None:
        """Take leave of the mail server."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.quit(timeout=1.0)
            except (SMTPException, OSError):
                connection.close()

    async def _connection(self) -> SMTP:
        """One that answers: used before, or new. Raises SupplierFailure; nothing was handed over yet."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.noop()
            except (SMTPException, OSError):
                connection.close()  # the server has hung up since
            else:
                return connection
        connection = self._new_connection()
        try:
            await connection.connect()
        except (SMTPException, OSError, ValueError):
            connection.close()
        else:
            return connection
        # Away, without TLS, with a wrong certificate, or not for us: another supplier may carry it.
        raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)

    def _new_connection(self) -> SMTP:
        settings = self._settings
        return SMTP(
            hostname=settings.host,
            port=settings.used_port,
            local_hostname=settings.sender.rpartition("@")[2],
            username=settings.login or None,
            password=self._password.reveal() if self._password else None,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=None if settings.security == "none" else self._tls,
            timeout=STEP_SECONDS,
        )

    async def _converse(self, connection: SMTP, mail: Mail) -> tuple[str, SupplierFailure | None]:
        """Sender, recipient, content (RFC 5321 section 3.3): the server's last word, or what went wrong."""
        is_written = False
        try:
            await connection.mail(self._settings.sender)
            await connection.rcpt(mail.recipient)
            is_written = True
            reply = await connection.data(mail.content)
        except SMTPResponseException as refused:
            connection.close()
            return "", _refusal(refused.code)
        except (SMTPException, OSError):
            connection.close()
            if is_written:  # it may have been taken: not again
                return "", SupplierFailure(FailureReason.TIMEOUT, transient=False)
            return "", SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
        except asyncio.CancelledError:
            connection.close()
            raise
        self._idle.append(connection)
        return reply.message, None


def build(context: Context) -> SmtpSupplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings = context.settings(Settings)
    password = context.secret(PASSWORD) if settings.login else None
    try:
        tls = ssl.create_default_context(cafile=settings.authorities or None)
    except OSError as error:  # an ssl.SSLError is one
        raise ConfigurationError(
            f"suppliers.toml:{context.rule.name}.authorities: cannot be read as PEM"
        ) from error
    return SmtpSupplier(context, settings, tls, password)


def _refusal(code: int) -> SupplierFailure:
    """4xx is for now, 5xx for good (RFC 5321 section 4.2.1)."""
    if 400 <= code < 500:
        return SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)
    return SupplierFailure(FailureReason.REJECTED, transient=False)


def _reference(reply: str) -> str:
    """What the server calls the mail, mostly `… queued as …`, in one line."""
    return " ".join(reply.split())[:_LONGEST_REFERENCE]
