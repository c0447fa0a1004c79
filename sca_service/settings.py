"""Where things are: the configuration file, and the environment over it. The only reader of the environment.

A file (`--config`, TOML)::

    environment = "production"          # or "sandbox"
    issuer = "https://sca.bank.example" # `iss` of authentication codes
    policies = "/etc/sca/policies"
    keyring = "/etc/sca/keyring.json"   # or the environment variable SCA_KEYRING with its text itself
    log_level = "INFO"

    [redis]
    url = "redis://…"                   # or SCA_REDIS_URL
    [postgres]
    url = "postgresql://…"              # or SCA_POSTGRES_URL
    pooler_url = "postgresql://…"       # or SCA_POSTGRES_POOLER_URL; what decides goes there; left out: there is none
    [api]
    host = "127.0.0.1"
    port = 8080
    public_url = "https://sca.bank.example"   # where suppliers reach the api's /receipts
    trusted_proxies = ["10.0.0.0/8"]    # whose X-Forwarded-For is believed; left out: nobody's
    drain_seconds = 5                   # served on after SIGTERM, unready; left out: 5, in a sandbox 0
    [metrics]                           # of the worker and the log role; the api serves its own at /metrics
    host = "127.0.0.1"
    port = 9090
    [log]
    origin = "sca.bank.example/log"     # the audit log's name for good; left out: made from the issuer
    [log.witnesses.north]               # who is asked to sign checkpoints; any number of them
    url = "https://witness.example/sca" # `/add-checkpoint` of it is called
    key = "witness.example/north+…"     # its verifier key
    [custody]                           # for a keyring in an envelope; SCA_PKCS11_PIN is the HSM's PIN
    deployment = "sca.bank.example"     # every envelope is bound to it
    pkcs11_module = "/usr/lib/…/libsofthsm2.so"
    pkcs11_slot = "sca"                 # its label
    aws_region = "eu-central-1"         # left out: as AWS's own library finds it
    aws_endpoint = "https://…"          # left out: the region's own
    [passkeys]                          # left out: none are taken
    rp_id = "bank.example"              # the domain that they are bound to
    origins = ["https://pay.bank.example"]  # of the pages that may ask for them
    [clients]                           # left out: API keys alone say who calls
    certificate_proxies = ["10.1.0.7"]  # whose Client-Cert is believed (docs/clients.md)
    oauth = true                        # /oauth/token gives access; left out: there is none
    [compat]                            # left out: no other service's API is answered
    facades = ["camara", "twilio"]      # which are (docs/compat.md); twilio_forgets = true: over is 404, as there
    [tracing]                           # left out: there are no traces
    endpoint = "https://…/v1/traces"    # a collector's (OTLP over HTTP); ratio = 0.1 traces a tenth of the challenges
    [sandbox]                           # refused in production
    folder = "…"

What suppliers want to know us by comes from the environment alone: `SCA_SUPPLIER_KALEYRA_EU_API_KEY` is the `api_key`
of the supplier `kaleyra-eu` in `suppliers.toml`; `SCA_PORTABILITY_AUTHORIZATION` is the header of the HLR look-up.
`SCA_CAMARA_CLIENT_ID` and `SCA_CAMARA_CLIENT_SECRET` are what operators of phone lines know us by (risk.toml).
`SCA_OPERATOR_KEY` is the API key of the operator who gives a command that asks for one (`sca audit erase`).
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sca_service.kernel.addresses import Network, read_networks
from sca_service.kernel.custody.envelope import unwrap
from sca_service.kernel.custody.model import CustodySettings
from sca_service.kernel.entrance import ENTRANCE_SETTINGS, Entrance, read_entrance
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.facades import FACADE_SETTINGS, Facades, read_facades
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.placeholders import refused
from sca_service.kernel.primary import names_servers
from sca_service.kernel.redis.settings import REDIS_SETTINGS, RedisSettings, read_redis
from sca_service.kernel.secret import Secret
from sca_service.kernel.site import Site, read_site
from sca_service.kernel.tracing.settings import TRACING_SETTINGS, TracingSettings, read_tracing
from sca_service.kernel.witnesses import WitnessAddress, is_public, read_witnesses

_KNOWN: dict[str, frozenset[str]] = {
    "": frozenset(
        {
            *("environment", "issuer", "policies", "keyring", "log_level"),
            *("redis", "postgres", "api", "metrics", "log", "custody", "passkeys"),
            *("clients", "compat", "tracing", "sandbox"),
        }
    ),
    "redis": REDIS_SETTINGS,
    "postgres": frozenset({"url", "pooler_url"}),
    "api": frozenset({"host", "port", "public_url", "trusted_proxies", "drain_seconds"}),
    "metrics": frozenset({"host", "port"}),
    "log": frozenset({"origin", "witnesses"}),
    "custody": frozenset({"deployment", "pkcs11_module", "pkcs11_slot", "aws_region", "aws_endpoint"}),
    "passkeys": frozenset({"rp_id", "origins"}),
    "clients": ENTRANCE_SETTINGS,
    "compat": FACADE_SETTINGS,
    "tracing": TRACING_SETTINGS,
    "sandbox": frozenset({"folder"}),
}
_SECRETS_OF_SUPPLIERS = "SCA_SUPPLIER_"
_AUTHORIZATION = "SCA_PORTABILITY_AUTHORIZATION"
_OPERATOR_KEY = "SCA_OPERATOR_KEY"
_OF_OPERATORS = "SCA_CAMARA_CLIENT_SECRET"
_PKCS11_PIN = "SCA_PKCS11_PIN"
_ALL_SECRETS = (_SECRETS_OF_SUPPLIERS, _AUTHORIZATION, _OPERATOR_KEY, _OF_OPERATORS, _PKCS11_PIN)
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Environment(StrEnum):
    """What the service is run for. Sandbox suppliers and endpoints exist in the sandbox only."""

    SANDBOX = "sandbox"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Settings:
    """One role's configuration. URLs may hold passwords, so they have no `repr`."""

    environment: Environment
    issuer: str
    policies: Path
    keyring: Keyring = field(repr=False)
    redis: RedisSettings
    postgres_url: str = field(repr=False)
    host: str
    port: int
    log_level: str
    sandbox_folder: Path | None
    metrics_host: str
    metrics_port: int | None
    public_url: str = ""
    log_origin: str = ""
    witnesses: tuple[WitnessAddress, ...] = ()
    supplier_secrets: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    portability_authorization: Secret[str] | None = field(default=None, repr=False)
    operator_key: Secret[str] | None = field(default=None, repr=False)
    camara_client_id: str = ""
    camara_client_secret: Secret[str] | None = field(default=None, repr=False)
    site: Site | None = None
    trusted_proxies: tuple[Network, ...] = ()
    entrance: Entrance = field(default_factory=Entrance)
    facades: Facades = field(default_factory=Facades)
    tracing: TracingSettings | None = None
    drain_seconds: float = 0
    postgres_pooler_url: str = field(default="", repr=False)

    def secrets_of(self, supplier: str) -> dict[str, Secret[str]]:
        """The environment's secrets for a supplier, by their lower-case names."""
        prefix = _variable(supplier)
        return {
            name.removeprefix(prefix).lower(): secret
            for name, secret in self.supplier_secrets.items()
            if name.startswith(prefix)
        }

    @property
    def api_url(self) -> str:
        """Where the api listens."""
        return f"http://{self.host}:{self.port}"

    @property
    def device_url(self) -> str:
        """What devices call, as they are told it: their signatures are over it."""
        return f"{self.receipts_url}/device/v1"

    @property
    def receipts_url(self) -> str:
        """Where suppliers reach the api: the public address, or the listening one where there is none."""
        return self.public_url or self.api_url


def read_settings(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file and what the environment says over it.

    Raises ConfigurationError with every mistake found, none of which quotes a URL or a key.
    """
    environ = os.environ if environ is None else environ
    content = _content(path)
    mistakes, sections = _unknown(content), {name: _section(content, name) for name in _KNOWN if name}
    sandbox = sections["sandbox"].get("folder")
    postgres = _postgres(sections["postgres"], environ)
    environment = content.get("environment", "production")
    level = str(environ.get("SCA_LOG_LEVEL") or content.get("log_level", "INFO")).upper()
    listening = _listening(sections["api"], is_sandbox=bool(sandbox))
    public_url = str(sections["api"].get("public_url", "")).rstrip("/")
    checks = {
        **_checks_of_the_environment(environment, sandbox),
        **_checks_of_postgres(**postgres),
        **_checks_of_the_api(str(content.get("issuer", "")), listening, public_url),
        **_checks_of_the_log(sections, str(content.get("issuer", ""))),
        f"log_level: must be one of {', '.join(_LOG_LEVELS)}": level in _LOG_LEVELS,
    }
    mistakes += [f"{path}: {rule}" for rule, holds in checks.items() if not holds]
    witnesses = read_witnesses(sections["log"].get("witnesses", {}), mistakes)
    proxies = read_networks(sections["api"].get("trusted_proxies", []), "api.trusted_proxies", mistakes)
    read_elsewhere = _read_elsewhere(sections, mistakes)
    redis = read_redis(sections["redis"], environ.get("SCA_REDIS_URL", ""), path.parent, mistakes)
    if environment != Environment.SANDBOX:
        mistakes += refused(environ, _ALL_SECRETS, {"redis_url": redis.url, **postgres})
    keyring = _keyring_or_mistake(content, path.parent, environ, mistakes)
    if mistakes or keyring is None:
        raise ConfigurationError("\n".join(mistakes))
    return Settings(
        environment=Environment(environment),
        issuer=content["issuer"],
        policies=path.parent / content["policies"] if "policies" in content else shipped_policies(),
        keyring=keyring,
        redis=redis,
        **postgres,
        **listening,
        log_level=level,
        sandbox_folder=path.parent / sandbox if sandbox else None,
        metrics_host=sections["metrics"].get("host", "127.0.0.1"),
        metrics_port=sections["metrics"].get("port"),
        public_url=public_url,
        log_origin=sections["log"].get("origin", ""),
        witnesses=witnesses,
        **_given_secretly(environ),
        trusted_proxies=proxies,
        **read_elsewhere,
    )


def _read_elsewhere(sections: Mapping[str, Mapping[str, Any]], mistakes: list[str]) -> dict[str, Any]:
    """The sections that what they are about reads; what is wrong with them goes to `mistakes`."""
    return {
        "site": read_site(sections["passkeys"], mistakes),
        "entrance": read_entrance(sections["clients"], mistakes),
        "facades": read_facades(sections["compat"], mistakes),
        "tracing": read_tracing(sections["tracing"], mistakes),
    }


def _given_secretly(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment alone holds: what others want to know us by."""
    return {
        "supplier_secrets": _secrets(environ, _SECRETS_OF_SUPPLIERS),
        "portability_authorization": _secrets(environ, _AUTHORIZATION).get(_AUTHORIZATION),
        "operator_key": _secrets(environ, _OPERATOR_KEY).get(_OPERATOR_KEY),
        "camara_client_id": environ.get("SCA_CAMARA_CLIENT_ID", ""),
        "camara_client_secret": _secrets(environ, _OF_OPERATORS).get(_OF_OPERATORS),
    }


def read_custody(path: Path | None, environ: Mapping[str, str] | None = None) -> CustodySettings:
    """How keyrings in an envelope are opened, from a configuration file (None: there is none) and the environment.

    Nothing else in the file has to be right. Raises ConfigurationError.
    """
    environ = os.environ if environ is None else environ
    content = _content(path) if path else {}
    mistakes: list[str] = []
    custody = _custody(_section(content, "custody"), path.parent if path else Path(), environ, mistakes)
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return custody


def _checks_of_the_environment(environment: object, sandbox: object) -> dict[str, bool]:
    return {
        "environment: must be sandbox or production": environment in tuple(Environment),
        "sandbox: must not be there in production": not (sandbox and environment == Environment.PRODUCTION),
    }


def _postgres(section: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Where PostgreSQL is, and the pooler before it, if there is one."""
    return {
        "postgres_url": environ.get("SCA_POSTGRES_URL") or str(section.get("url", "")),
        "postgres_pooler_url": environ.get("SCA_POSTGRES_POOLER_URL") or str(section.get("pooler_url", "")),
    }


def _checks_of_postgres(postgres_url: str, postgres_pooler_url: str) -> dict[str, bool]:
    return {
        "postgres.url: must be a postgresql:// URL": names_servers(postgres_url),
        "postgres.pooler_url: must be a postgresql:// URL": not postgres_pooler_url
        or names_servers(postgres_pooler_url),
    }


def _listening(content: Mapping[str, Any], *, is_sandbox: bool) -> dict[str, Any]:
    """Where the api listens, and for how long after it was told to stop."""
    return {
        "host": content.get("host", "127.0.0.1"),
        "port": content.get("port", 8080),
        "drain_seconds": content.get("drain_seconds", 0 if is_sandbox else 5),
    }


def _checks_of_the_api(issuer: str, listening: Mapping[str, Any], public_url: str) -> dict[str, bool]:
    return {
        "issuer: must be a URL": issuer.startswith(("https://", "http://")),
        "api.port: must be 1 to 65535": _is_port(listening["port"]),
        "api.drain_seconds: must be 0 to 60": _is_drain(listening["drain_seconds"]),
        "api.public_url: must be an https:// URL": is_public(public_url),
    }


def shipped_policies() -> Path:
    """The policies that come with the service: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parent
    for folder in (package / "_policies", package.parent / "policies"):
        if folder.is_dir():
            return folder
    raise ConfigurationError("no policies: name their folder in the configuration")


def _secrets(environ: Mapping[str, str], prefix: str) -> dict[str, Secret[str]]:
    """The environment's secrets whose names begin so; an empty one is none."""
    return {name: Secret(value) for name, value in environ.items() if name.startswith(prefix) and value}


def _variable(supplier: str) -> str:
    return f"{_SECRETS_OF_SUPPLIERS}{supplier}_".upper().replace("-", "_")


def _checks_of_the_log(sections: Mapping[str, Mapping[str, Any]], issuer: str) -> dict[str, bool]:
    """The rules on the name of the log, which is made from the issuer when it is left out, and on its metrics."""
    metrics_port, origin = sections["metrics"].get("port"), sections["log"].get("origin", "")
    return {
        "metrics.port: must be 1 to 65535": metrics_port is None or _is_port(metrics_port),
        "log.origin: must be a URL without its scheme, and without spaces and +": _is_origin(origin),
        "issuer: must be without spaces and +, or log.origin be set": bool(origin)
        or _is_origin(issuer.partition("://")[2]),
    }


def _is_origin(name: object) -> bool:
    """Whether it can be a note's key name (C2SP signed-note); empty where none is named."""
    return isinstance(name, str) and name.isprintable() and not re.search(r"[\s+]|://", name)


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = content.get(name, {})
    return section if isinstance(section, dict) else {}


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error


def _is_drain(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= 60


def _is_port(value: object) -> bool:
    return isinstance(value, int) and 0 < value < 65536


def _unknown(content: Mapping[str, Any]) -> list[str]:
    mistakes = [f"{name}: is not a setting" for name in content if name not in _KNOWN[""]]
    for section, names in _KNOWN.items():
        inner = content.get(section, {}) if section else {}
        if isinstance(inner, dict):
            mistakes += [f"{section}.{name}: is not a setting" for name in inner if name not in names]
        else:
            mistakes.append(f"{section}: must be a table")
    return mistakes


def _custody(
    section: Mapping[str, Any], folder: Path, environ: Mapping[str, str], mistakes: list[str]
) -> CustodySettings:
    """The section `[custody]`; what is wrong with it goes to `mistakes`."""
    mistakes += [f"custody.{name}: must be text" for name, text in section.items() if type(text) is not str]
    texts = {name: text for name, text in section.items() if type(text) is str and name in _KNOWN["custody"]}
    if not is_public(texts.get("aws_endpoint", "")):
        mistakes.append("custody.aws_endpoint: must be an https:// URL")
    if module := texts.get("pkcs11_module"):
        texts["pkcs11_module"] = str(folder / module)
    return CustodySettings(**texts, pkcs11_pin=_secrets(environ, _PKCS11_PIN).get(_PKCS11_PIN))


def _keyring_or_mistake(
    content: Mapping[str, Any], folder: Path, environ: Mapping[str, str], mistakes: list[str]
) -> Keyring | None:
    custody = _custody(_section(content, "custody"), folder, environ, mistakes)
    try:
        text = environ.get("SCA_KEYRING") or _keyring_text(content.get("keyring"), folder)
        return Keyring.parse(unwrap(text, custody))
    except ConfigurationError as error:
        mistakes.append(str(error))
        return None


def _keyring_text(name: str | None, folder: Path) -> str:
    if not name:
        raise ConfigurationError("keyring: name the file, or set SCA_KEYRING")
    try:
        if (folder / name).stat().st_mode & 0o077:
            raise ConfigurationError("keyring: the file must be readable by its owner only (chmod 600)")
        return (folder / name).read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"keyring: the file cannot be read: {error.strerror}") from error
