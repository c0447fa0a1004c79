"""A keyring that AWS KMS protects: envelope encryption under a key of 256 bits that only KMS can open.

KMS makes that key (`GenerateDataKey`) and opens it again (`Decrypt`), both under an encryption context that names the
deployment; KMS logs each. `wrapped` is the length of the key as KMS closed it (2 bytes), that, a nonce of 12 bytes,
and AES-256-GCM over the keyring. Who may call KMS is found where AWS's library looks: role of the machine or pod,
`AWS_…` of the environment, its files. KMS is asked once, when a role or a command starts. The library is the extra
`aws`.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sca_service.kernel.custody.model import NONCE_BYTES, CustodySettings
from sca_service.kernel.errors import ConfigurationError

_TIMEOUT_SECONDS = 5
_MOST_TRIES = 3
_LENGTH_BYTES = 2
_AAD = b"sca keyring"
_DOES_NOT_OPEN = (
    "the envelope does not open: it was altered, or made with another key or for another custody.deployment"
)
_WORDS: Mapping[str, str] = {
    "AccessDeniedException": "AWS KMS denies this role the key, or it is another account's",
    "NotFoundException": "AWS KMS knows no such key in custody.aws_region",
    "DisabledException": "the key in AWS KMS is disabled",
    "KMSInvalidStateException": "the key in AWS KMS is not usable: pending deletion or import",
    "InvalidCiphertextException": _DOES_NOT_OPEN,
    "IncorrectKeyException": _DOES_NOT_OPEN,
    "InvalidKeyUsageException": "the key in AWS KMS is not one to encrypt with",
    "UnrecognizedClientException": "AWS does not know the credentials",
    "ExpiredTokenException": "the AWS credentials have expired",
}


def wrap(plain: bytes, key: str, settings: CustodySettings) -> bytes:
    """Close under a new key that the KMS key (an ARN, id or alias) closes. Raises ConfigurationError."""
    made = _call(
        settings,
        "generate_data_key",
        KeyId=key,
        KeySpec="AES_256",
        EncryptionContext=_context(settings),
    )
    blob: bytes = made["CiphertextBlob"]
    nonce = os.urandom(NONCE_BYTES)
    closed = AESGCM(made["Plaintext"]).encrypt(nonce, plain, _AAD)
    return len(blob).to_bytes(_LENGTH_BYTES, "big") + blob + nonce + closed


def unwrap(closed: bytes, key: str, settings: CustodySettings) -> bytes:
    """Open what `wrap` closed with the same key and for the same deployment. Raises ConfigurationError."""
    start = _LENGTH_BYTES + int.from_bytes(closed[:_LENGTH_BYTES], "big")
    blob, nonce = closed[_LENGTH_BYTES:start], closed[start : start + NONCE_BYTES]
    if not blob or len(nonce) < NONCE_BYTES:
        raise ConfigurationError("keyring: the envelope is cut off")
    opened = _call(settings, "decrypt", KeyId=key, CiphertextBlob=blob, EncryptionContext=_context(settings))
    try:
        return AESGCM(opened["Plaintext"]).decrypt(nonce, closed[start + NONCE_BYTES :], _AAD)
    except InvalidTag:
        raise ConfigurationError(f"keyring: {_DOES_NOT_OPEN}") from None


def _context(settings: CustodySettings) -> dict[str, str]:
    """What KMS authenticates and writes into its log; nothing of it is secret."""
    context = {"purpose": "sca-keyring"}
    return {**context, "deployment": settings.deployment} if settings.deployment else context


def _call(settings: CustodySettings, operation: str, **members: Any) -> dict[str, Any]:
    """Ask KMS. Raises ConfigurationError in plain words; the library's own may quote the call."""
    try:
        import boto3  # noqa: PLC0415 - an extra, and slow to load
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError("keyring: AWS KMS protects it; install the extra `aws` (boto3)") from error
    limits = Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retries={"total_max_attempts": _MOST_TRIES},
    )
    try:
        client = boto3.session.Session().client(
            "kms",
            region_name=settings.aws_region or None,
            endpoint_url=settings.aws_endpoint or None,
            config=limits,
        )
        with contextlib.closing(client):
            answer: dict[str, Any] = getattr(client, operation)(**members)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise ConfigurationError(f"keyring: {_WORDS.get(code, f'AWS KMS refuses ({code})')}") from None
    except (BotoCoreError, ValueError) as error:
        name = type(error).__name__
        raise ConfigurationError(f"keyring: AWS KMS cannot be asked ({name})") from None
    return answer
