"""Every way in which a request can be at fault, or we can: one tree under `ScaError`.

A wrong code or a blocked payer is no error: that is an outcome, and a value. Status codes are known to the API only.
"""

from dataclasses import dataclass
from typing import ClassVar

from sca_service.kernel.quota import Allowance


class ScaError(Exception):
    """Root of the tree.

    `code` names the problem page (`/problems/<code>`), `title` says it in a few words, `meaning` tells a backend
    developer what happened and what to do. The message given to the constructor is shown to the caller: it never holds
    input, a code, a number or a name.
    """

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    meaning: ClassVar[str] = (
        "Something failed on our side that should not have. Nothing was approved. The request may be sent again with "
        "the same Idempotency-Key; report the request_id if it happens again."
    )

    @property
    def detail(self) -> str:
        """The sentence shown to the caller."""
        return str(self) or self.title


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the input: where (RFC 6901 JSON pointer) and what, without quoting the input."""

    pointer: str
    detail: str

    def below(self, prefix: str) -> "Mistake":
        """The same mistake, seen from the value that holds it at `prefix` (a JSON pointer such as `/psu`)."""
        return Mistake(prefix + self.pointer, self.detail)


class InvalidInput(ScaError):
    """A value cannot be what it should be; says every mistake found."""

    code = "validation-error"
    title = "The request is not valid"
    meaning = (
        "One or more members of the body, path or query are missing, unknown, of the wrong type or out of bounds. "
        "`errors` lists each with a JSON pointer. Nothing was stored or sent and no attempt was spent."
    )

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("; ".join(f"{mistake.pointer or '/'}: {mistake.detail}" for mistake in mistakes))
        self.mistakes = mistakes

    @classmethod
    def at(cls, pointer: str, detail: str) -> "InvalidInput":
        """An error with a single mistake."""
        return cls(Mistake(pointer, detail))

    @property
    def detail(self) -> str:
        """How many mistakes there are; the mistakes themselves travel beside it."""
        return (
            "1 mistake in the request"
            if len(self.mistakes) == 1
            else f"{len(self.mistakes)} mistakes in the request"
        )


class MalformedRequest(ScaError):
    """The bytes are no JSON object in UTF-8 at all."""

    code = "malformed-request"
    title = "The body is not the JSON it should be"
    meaning = (
        "The body must be one JSON object in UTF-8, without duplicate member names and without deep nesting. "
        "Nothing was stored or sent and no attempt was spent."
    )


class BodyTooLarge(ScaError):
    """More bytes than any request needs."""

    code = "body-too-large"
    title = "The body is too large"
    meaning = "A body may hold at most 64 KiB. Nothing of it was read into the service."


class UnsupportedMediaType(ScaError):
    """The body is labelled as something else than JSON."""

    code = "unsupported-media-type"
    title = "The body must be JSON"
    meaning = "Send `Content-Type: application/json`."


class Unauthorized(ScaError):
    """No API key, or one that is not (or no longer) valid."""

    code = "unauthorized"
    title = "No valid API key"
    meaning = (
        "Send `Authorization: Bearer <API key>` with a key of this service that was not revoked or rotated out. A "
        "client that is bound to a certificate has to come with it as well: `detail` says so."
    )


class Forbidden(ScaError):
    """The client is known but lacks the scope."""

    code = "missing-scope"
    title = "The API key lacks a scope"
    meaning = "The API key is valid but its scopes do not cover this call; `detail` names the scope that is missing."


class NotFound(ScaError):
    """Unknown id, another client's id, or no such path: they answer alike."""

    code = "not-found"
    title = "Not found"
    meaning = "There is nothing here for this client: an unknown id, another client's and an unknown path answer alike."


class MethodNotAllowed(ScaError):
    """The path exists, the method does not."""

    code = "method-not-allowed"
    title = "Method not allowed"
    meaning = (
        "The path exists, but not with this method; `Allow` names those it has, and `/docs` explains them."
    )

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class RequestInFlight(ScaError):
    """The same Idempotency-Key is being worked on right now."""

    code = "request-in-flight"
    title = "The same request is still in flight"
    meaning = (
        "A request with this Idempotency-Key is being worked on. Wait a moment and send it again unchanged."
    )


class IdempotencyKeyReused(ScaError):
    """The Idempotency-Key was used for another body before."""

    code = "idempotency-key-reused"
    title = "The Idempotency-Key was used for another request"
    meaning = "Within 24 hours an Idempotency-Key belongs to one body. Send the same body, or use a new key."


class NoMoreChannels(ScaError):
    """The ladder has ended."""

    code = "no-more-channels"
    title = "No channel is left"
    meaning = "Every channel of the ladder was used. Wait for the last delivery, or cancel and issue a new challenge."


class NotPending(ScaError):
    """The challenge is final; there is nothing to send any more."""

    code = "not-pending"
    title = "The challenge is not pending any more"
    meaning = (
        "The challenge has reached a final status; nothing more is sent for it. Read it to see which status."
    )


class AuthorisationRequired(ScaError):
    """The payer has an active authenticator: another one needs its word (RTS Art. 24)."""

    code = "authorisation-required"
    title = "An approved enrolment challenge is required"
    meaning = (
        "The payer has an active authenticator, so another one is enrolled only with its word. Issue a challenge for "
        "the purpose `enrolment`, and send its `authentication_code` as `authorisation`."
    )


class KeyAlreadyEnrolled(ScaError):
    """This key is known already: one key is one authenticator of one payer (RTS Art. 7 and 24)."""

    code = "key-already-enrolled"
    title = "This key was enrolled before"
    meaning = (
        "A device's key or a passkey is enrolled once, for one payer. Let the device make a new key. One of the "
        "tries to activate is spent."
    )


class InvalidProof(ScaError):
    """A request of a device that its key did not sign, or not for this request, or that came before."""

    code = "invalid-proof"
    title = "The request is not signed by an active device"
    meaning = (
        "Each request of a device carries a `DPoP` header (RFC 9449): signed by the enrolled key for this method, URL "
        "and body, at most a minute old, and sent once. An unknown, pending, suspended or revoked device is answered "
        "alike."
    )


class TooEarly(ScaError):
    """A limit or a cool-down says: not yet. `retry_after_seconds` says when, `allowances` how limits stand.

    `limit` names the policy's limit that refused, where it is none of the payer's own.
    """

    code = "rate-limited"
    title = "Too many requests"
    meaning = "A limit of the policy is spent; `Retry-After` says in how many seconds one more is allowed."

    def __init__(
        self,
        detail: str,
        retry_after_seconds: int,
        allowances: tuple[Allowance, ...] = (),
        *,
        limit: str = "",
    ) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        self.allowances = allowances


class ResendCooldown(TooEarly):
    """The next channel was asked for too soon after the last message."""

    code = "resend-cooldown"
    title = "The next message may not be sent yet"
    meaning = "A payer gets a moment to receive the last message before the next is sent; `Retry-After` says how long."


class StoreUnavailable(ScaError):
    """Redis or PostgreSQL did not answer in time: we fail closed, and fast."""

    code = "store-unavailable"
    title = "The service cannot decide right now"
    meaning = (
        "A store did not answer in time. Nothing was approved without being on record. Send the request again after "
        "`Retry-After` seconds, with the same Idempotency-Key where you used one."
    )
    retry_after_seconds = 1


class Overloaded(ScaError):
    """More waits for the same work than can be done soon: turned away at once, rather than answered late."""

    code = "overloaded"
    title = "Too much is waiting already"
    meaning = (
        "More requests wait for the same work than can be done soon, so this one was turned away at once. Nothing was "
        "approved. Send the request again after `Retry-After` seconds, with the same Idempotency-Key where you used "
        "one."
    )
    retry_after_seconds = 1


class ConfigurationError(ScaError):
    """The service cannot start like this; the message lists every reason."""

    code = "configuration-error"
    title = "The configuration is not valid"
    meaning = (
        "Shown on the command line only: the service does not start with a configuration it cannot stand by."
    )
