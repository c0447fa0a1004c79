"""`sca policy check`: whether a folder of policies holds."""

import sys
from pathlib import Path

from sca_service.delivery.channels.kinds import check as check_supplier
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.load import load, mistakes
from sca_service.policy.supply import SupplyPolicy
from sca_service.settings import shipped_policies


def check_policy(folder: Path | None = None) -> None:
    """Check a folder of policies and list every mistake; exit status 1 when there is one.

    Parameters
    ----------
    folder
        The policies; those that come with the service when left out.
    """
    folder = folder or shipped_policies()
    found = mistakes(folder) or adapter_mistakes(load(folder).supply)
    for mistake in found:
        print(mistake)
    if found:
        sys.exit(1)
    print(f"The policies hold. {load(folder).digest}")


def adapter_mistakes(supply: SupplyPolicy) -> list[str]:
    """What the adapters do not understand in their sections of suppliers.toml, one line each."""
    found = []
    for rule in supply.suppliers:
        try:
            check_supplier(rule)
        except ConfigurationError as error:
            found.append(error.detail)
    return found
