"""JSON Web Tokens (RFC 7519) signed with RS256, by which some suppliers know us."""

import warnings
from collections.abc import Mapping

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import RSAKey

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret


class RsaJwtSigner:
    """Signs claims. A class because it holds the key, and reading a key takes longer than signing with it."""

    def __init__(self, pem: Secret[str], *, section: str) -> None:
        """`pem` is the private key; line breaks may be written `\\n`, as an environment often has them.

        Raises ConfigurationError, which names the section of `suppliers.toml` and nothing of the key.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SecurityWarning)  # fewer than 2048 bits
                self._key = RSAKey.import_key(pem.reveal().replace("\\n", "\n"))
            is_private = self._key.is_private
        except (ValueError, TypeError, JoseError, SecurityWarning):
            is_private = False
        if not is_private:
            raise ConfigurationError(
                f"suppliers.toml:{section}: its key is no RSA private key of 2048 bits in PEM"
            )

    def sign(self, claims: Mapping[str, object], *, key_id: str = "") -> Secret[str]:
        """The compact form; `key_id` becomes the header's `kid`."""
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
        return Secret(jwt.encode(header, dict(claims), self._key, algorithms=["RS256"]))
