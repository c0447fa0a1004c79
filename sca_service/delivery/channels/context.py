"""What an adapter is built with, and how its section of `suppliers.toml` is checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from sca_service.delivery.channels.push.model import Devices
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import Ear
from sca_service.kernel.clock import Clock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.policy.supply import SupplierRule

Settings = TypeVar("Settings", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What every adapter may use. `public_url` is where suppliers reach the api, without a slash at its end.

    `secrets` are the environment's for one supplier, by lower-case name: of `SCA_SUPPLIER_KALEYRA_EU_API_KEY` the
    supplier `kaleyra-eu` gets `api_key`. `subscriptions` are the payers' devices, None where push is not built.
    """

    rule: SupplierRule
    secrets: Mapping[str, Secret[str]]
    public_url: str
    http: HttpClient
    ear: Ear
    redis: RedisConnection
    keyring: Keyring
    clock: Clock
    subscriptions: Devices | None = None

    def settings(self, shape: type[Settings]) -> Settings:
        """The section's own options as the adapter's `Settings`. Raises ConfigurationError with the mistake."""
        return checked_options(self.rule, shape)

    def secret(self, name: str) -> Secret[str]:
        """A secret that the adapter needs. Raises ConfigurationError when the environment does not have it."""
        found = self.secrets.get(name)
        if found is None or not found.reveal():  # an empty key would sign for anybody
            variable = f"SCA_SUPPLIER_{self.rule.name}_{name}".upper().replace("-", "_")
            raise ConfigurationError(f"suppliers.toml:{self.rule.name}: the environment lacks {variable}")
        return found

    @property
    def devices(self) -> Devices:
        """The payers' devices, for push. Raises ConfigurationError where nobody keeps them."""
        if self.subscriptions is None:
            raise ConfigurationError(f"suppliers.toml:{self.rule.name}: push needs the payers' subscriptions")
        return self.subscriptions


def checked_options(rule: SupplierRule, shape: type[Settings]) -> Settings:
    """A supplier's options in an adapter's shape. Raises ConfigurationError; unknown keys are mistakes."""
    try:
        return msgspec.convert(dict(rule.options), shape)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"suppliers.toml:{rule.name}: {error}") from error
