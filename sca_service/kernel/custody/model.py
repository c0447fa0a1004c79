"""What is known of the keyring's keeper: which kinds there are, and what the configuration says of them."""

from dataclasses import dataclass, field
from enum import StrEnum

from sca_service.kernel.secret import Secret

NONCE_BYTES = 12
"""Of AES-GCM: 96 random bits (NIST SP 800-38D section 8.2.2)."""


class Keeper(StrEnum):
    """Who opens an envelope; `wrapped_by` in it."""

    PKCS11 = "pkcs11"
    AWS_KMS = "aws-kms"


@dataclass(frozen=True, slots=True)
class CustodySettings:
    """How keepers are reached: the section `[custody]`, and the PIN from the environment.

    `deployment` is a name that every envelope is bound to: one that was made for another deployment does not open.
    """

    deployment: str = ""
    pkcs11_module: str = ""
    pkcs11_slot: str = ""
    pkcs11_pin: Secret[str] | None = field(default=None, repr=False)
    aws_region: str = ""
    aws_endpoint: str = ""
