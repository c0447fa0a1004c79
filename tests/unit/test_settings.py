"""Settings: the file, the environment over it, and every mistake told at once without what is secret in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from redis import ConnectionPool

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import create_keyring_text, write_keyring
from sca_service.kernel.redis.address import RedisAddress
from sca_service.kernel.redis.replicas import ReplicaRule
from sca_service.kernel.site import Site
from sca_service.settings import Environment, Settings, read_settings, shipped_policies

COMPLETE = {
    "environment": '"production"',
    "issuer": '"https://sca.bank.example"',
    "keyring": '"keyring.json"',
    "redis.url": '"redis://:password-of-redis@redis.example:6379/0"',
    "postgres.url": '"postgresql://sca:password-of-postgres@db.example/sca"',
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a complete configuration with changes; None leaves a setting out."""

    def written(**changes: str | None) -> Path:
        keyring = tmp_path / "keyring.json"
        if not keyring.exists():
            write_keyring(keyring)
        settings = {**COMPLETE, **{name.replace("__", "."): value for name, value in changes.items()}}
        path = tmp_path / "sca.toml"
        lines = [f"{name} = {value}" for name, value in settings.items() if value is not None]
        path.write_text("\n".join(lines), "utf-8")
        return path

    return written


def mistakes(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong with a configuration."""
    with pytest.raises(ConfigurationError) as refused:
        read_settings(path, environ or {})
    text = str(refused.value)
    assert "password-of" not in text
    return [line.removeprefix(f"{path}: ") for line in text.split("\n")]


def test_a_complete_file_is_read(write: Write, tmp_path: Path) -> None:
    """With defaults for what it leaves open, and its folder as the place of relative paths."""
    settings = read_settings(write(policies='"policies"'), {})
    assert settings.environment is Environment.PRODUCTION
    assert settings.issuer == "https://sca.bank.example"
    assert settings.policies == tmp_path / "policies"
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8080, "INFO")
    assert settings.sandbox_folder is None
    assert settings.api_url == "http://127.0.0.1:8080"


def test_production_is_the_default(write: Write) -> None:
    """Whoever forgets to say so gets the stricter one."""
    assert read_settings(write(environment=None), {}).environment is Environment.PRODUCTION


def test_without_a_folder_the_shipped_policies_count(write: Write) -> None:
    """They are there, and complete."""
    settings = read_settings(write(), {})
    assert settings.policies == shipped_policies()
    assert (settings.policies / "lockout.toml").is_file()


def test_the_environment_stands_over_the_file(write: Write) -> None:
    """Secrets need not stand in a file."""
    environ = {
        "SCA_REDIS_URL": "rediss://other.example",
        "SCA_POSTGRES_URL": "postgresql://other.example/sca",
        "SCA_LOG_LEVEL": "debug",
        "SCA_KEYRING": create_keyring_text(),
    }
    path = write(keyring=None, redis__url=None, postgres__url=None)
    settings = read_settings(path, environ)
    assert (settings.redis.url, settings.postgres_url) == (
        "rediss://other.example",
        "postgresql://other.example/sca",
    )
    assert settings.log_level == "DEBUG"


def test_where_there_are_replicas_one_has_to_acknowledge(write: Write) -> None:
    """Unless the file says otherwise; without replicas there is nobody to ask."""
    assert read_settings(write(), {}).redis.replicas == ReplicaRule(0, 0, 300)
    assert read_settings(write(redis__replicas="2"), {}).redis.replicas == ReplicaRule(2, 1, 300)
    told = write(redis__replicas="2", redis__acknowledged_by="0", redis__acknowledged_within_ms="50")
    assert read_settings(told, {}).redis.replicas == ReplicaRule(2, 0, 50)


def test_the_files_of_tls_go_into_the_url(write: Write, tmp_path: Path) -> None:
    """Relative to the configuration's folder, for each of the servers."""
    names = {name: f'"{name}.pem"' for name in ("ca_file", "certificate_file", "key_file")}
    settings = read_settings(
        write(**{"redis__url": '"rediss://a,b"', **{f"redis__{name}": text for name, text in names.items()}}),
        {},
    )
    address = RedisAddress.parse(settings.redis.url)
    pool = ConnectionPool.from_url(address.url_of(address.addresses[1]))
    assert pool.connection_kwargs["host"] == "b"
    assert pool.connection_kwargs["ssl_ca_certs"] == str(tmp_path / "ca_file.pem")
    assert pool.connection_kwargs["ssl_certfile"] == str(tmp_path / "certificate_file.pem")
    assert pool.connection_kwargs["ssl_keyfile"] == str(tmp_path / "key_file.pem")


def test_a_sandbox_has_its_folder(write: Write, tmp_path: Path) -> None:
    """Beside the file."""
    settings = read_settings(write(environment='"sandbox"', sandbox__folder='"box"'), {})
    assert (settings.environment, settings.sandbox_folder) == (Environment.SANDBOX, tmp_path / "box")


def test_a_sandbox_in_production_is_refused(write: Write) -> None:
    """Its suppliers show codes to whoever asks."""
    assert mistakes(write(sandbox__folder='"."')) == ["sandbox: must not be there in production"]


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"environment": '"test"'}, "environment: must be sandbox or production"),
        ({"environment": "1"}, "environment: must be sandbox or production"),
        ({"issuer": None}, "issuer: must be a URL"),
        ({"issuer": '"bank"'}, "issuer: must be a URL"),
        ({"redis__url": None}, "redis.url: must be a redis://, rediss:// or unix:// URL"),
        (
            {"redis__url": '"http://password-of-redis@x"'},
            "redis.url: must be a redis://, rediss:// or unix:// URL",
        ),
        ({"redis__replicas": "-1"}, "redis.replicas: must be a whole number, 0 or more"),
        ({"redis__replicas": "6"}, "redis.replicas: must be at most 5"),
        ({"redis__acknowledged_by": "1"}, "redis.acknowledged_by: must be at most redis.replicas"),
        ({"redis__acknowledged_within_ms": "501"}, "redis.acknowledged_within_ms: must be 1 to 500"),
        (
            {"redis__ca_file": '"ca.pem"'},
            "redis.ca_file, .certificate_file, .key_file: are for TLS, which a rediss:// URL asks for",
        ),
        (
            {"redis__url": '"rediss://x"', "redis__key_file": '"key.pem"'},
            "redis.certificate_file: needs its redis.key_file, and the other way round",
        ),
        (
            {"redis__url": '"rediss://x"', "redis__ca_file": "1"},
            "redis.ca_file, .certificate_file, .key_file: each must name a file",
        ),
        ({"postgres__url": '"mysql://sca:password-of-mysql@x"'}, "postgres.url: must be a postgresql:// URL"),
        ({"api__port": "0"}, "api.port: must be 1 to 65535"),
        ({"api__port": "65536"}, "api.port: must be 1 to 65535"),
        ({"api__port": '"8080"'}, "api.port: must be 1 to 65535"),
        ({"log_level": '"LOUD"'}, "log_level: must be one of DEBUG, INFO, WARNING, ERROR"),
        ({"colour": '"red"'}, "colour: is not a setting"),
        ({"redis__password": '"password-of-redis"'}, "redis.password: is not a setting"),
        ({"keyring": None}, "keyring: name the file, or set SCA_KEYRING"),
        ({"keyring": '"missing.json"'}, "keyring: the file cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_told(write: Write, changes: dict[str, str], mistake: str) -> None:
    """What it is and where, never the value."""
    assert mistakes(write(**changes)) == [mistake]


@pytest.mark.parametrize("section", ["redis", "postgres", "api", "sandbox"])
def test_a_section_that_is_no_table_is_told(write: Write, section: str) -> None:
    """It is a mistake like any other, not a crash."""
    left_out = {f"{section}__url": None} if section in ("redis", "postgres") else {}
    assert f"{section}: must be a table" in mistakes(write(**{section: '"text"'}, **left_out))


def test_the_log_has_the_name_that_is_set(write: Write) -> None:
    """Left out, it is made from the issuer; what cannot be a key's name in a signed note is refused."""
    assert read_settings(write(), {}).log_origin == ""
    assert read_settings(write(log__origin='"log.bank.example/sca"'), {}).log_origin == "log.bank.example/sca"
    for name in ('"a b"', '"a+b"', '"https://bank.example/log"', '"a\\u00a0b"', '"a\\nb"', "7"):
        assert mistakes(write(log__origin=name)) == [
            "log.origin: must be a URL without its scheme, and without spaces and +"
        ]
    assert mistakes(write(issuer='"https://bank.example/a+b"')) == [
        "issuer: must be without spaces and +, or log.origin be set"
    ]
    named = write(issuer='"https://bank.example/a+b"', log__origin='"bank.example/log"')
    assert read_settings(named, {}).log_origin == "bank.example/log"


WITNESS_KEY = "witness.example/north+530d903a+" + "A" * 44


def test_witnesses_are_read(write: Write) -> None:
    """Any number, each with our name for it."""
    settings = read_settings(
        write(
            log__witnesses__north=f'{{url = "https://north.example", key = "{WITNESS_KEY}"}}',
            log__witnesses__south=f'{{url = "https://south.example/x", key = "{WITNESS_KEY[:-1]}B"}}',
        ),
        {},
    )
    assert [witness.name for witness in settings.witnesses] == ["north", "south"]
    assert settings.witnesses[0].url == "https://north.example"
    assert settings.witnesses[0].key == WITNESS_KEY
    assert read_settings(write(), {}).witnesses == ()


@pytest.mark.parametrize(
    ("witness", "mistake"),
    [
        ("7", "north: must be a table"),
        (f'{{key = "{WITNESS_KEY}"}}', "north.url: must be an https:// URL"),
        (f'{{url = "http://w.example", key = "{WITNESS_KEY}"}}', "north.url: must be an https:// URL"),
        ('{url = "https://w.example"}', "north.key: must be a verifier key"),
        ('{url = "https://w.example", key = "x"}', "north.key: must be a verifier key"),
        (
            f'{{url = "https://w.example", key = "{WITNESS_KEY}", colour = 1}}',
            "north.colour: is not a setting",
        ),
    ],
)
def test_a_mistake_in_a_witness_is_told(write: Write, witness: str, mistake: str) -> None:
    """Which witness it is, and what."""
    assert f"log.witnesses.{mistake}" in mistakes(write(log__witnesses__north=witness))


def test_a_witness_needs_a_plain_name_and_a_key_of_its_own(write: Write) -> None:
    """The name is a label of a metric; one key twice would be one witness that counts twice."""
    inner = f'{{url = "https://w.example", key = "{WITNESS_KEY}"}}'
    assert mistakes(write(log__witnesses__North=inner)) == [
        "log.witnesses.North: must be named with a to z, 0 to 9 and hyphens"
    ]
    assert mistakes(write(log__witnesses__north=inner, log__witnesses__south=inner)) == [
        "log.witnesses: two have the same key"
    ]
    assert mistakes(write(log__witnesses="7")) == ["log.witnesses: must be a table"]


def test_passkeys_have_a_domain_and_its_pages(write: Write) -> None:
    """Left out, the deployment takes none; what is wrong with the section is told like all else."""
    assert read_settings(write(), {}).site is None
    origins = '["https://pay.bank.example"]'
    read = read_settings(write(passkeys__rp_id='"bank.example"', passkeys__origins=origins), {})
    assert read.site == Site("bank.example", ("https://pay.bank.example",))
    domain, pages = "must be a domain, in lower case and without a port", "must be origins such as"
    assert mistakes(write(passkeys__rp_id='"Bank"', passkeys__origins=origins)) == [
        f"passkeys.rp_id: {domain}",
        f"passkeys.origins: {pages} https://pay.bank.example, each of rp_id or below it",
    ]
    named = write(passkeys__rp_id='"bank.example"', passkeys__origins=origins, passkeys__name='"Bank"')
    assert mistakes(named) == ["passkeys.name: is not a setting"]
    assert "passkeys: must be a table" in mistakes(write(passkeys='"bank.example"'))


def test_every_mistake_is_told_at_once(write: Write) -> None:
    """Nobody starts a service five times to find five mistakes."""
    found = mistakes(write(environment='"x"', issuer=None, api__port="0", colour="1", keyring=None))
    assert len(found) == 5


@pytest.mark.parametrize("text", ["environment = ", "\xff", "[redis", "a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_told(tmp_path: Path, text: str) -> None:
    """By its name."""
    path = tmp_path / "sca.toml"
    path.write_text(text, "latin-1")
    assert str(path) in "\n".join(mistakes(path)) or "cannot be read" in "\n".join(mistakes(path))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name too."""
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        read_settings(tmp_path / "none.toml", {})


def test_a_keyring_that_others_may_read_is_refused(write: Write, tmp_path: Path) -> None:
    """Whoever reads it can make codes."""
    path = write()
    (tmp_path / "keyring.json").chmod(0o640)
    assert mistakes(path) == ["keyring: the file must be readable by its owner only (chmod 600)"]


def test_a_keyring_that_is_none_is_told_without_its_text(write: Write) -> None:
    """Not even a part of it."""
    found = mistakes(write(keyring=None), {"SCA_KEYRING": '{"current": 1, "roots": "password-of-nobody"}'})
    assert found == ["keyring: not the JSON it should be; see `sca keys create`"]


def test_settings_do_not_show_what_is_secret(write: Write) -> None:
    """URLs hold passwords, the keyring keys."""
    shown = repr(read_settings(write(), {}))
    assert "password" not in shown
    assert "keyring" not in shown.lower()
    assert isinstance(read_settings(write(), {}), Settings)


def test_proxies_of_ours_are_named_by_their_networks(write: Write) -> None:
    """Nobody is believed without it, and a typing mistake is told."""
    assert read_settings(write(), {}).trusted_proxies == ()
    settings = read_settings(write(api__trusted_proxies='["10.0.0.0/8", "2001:db8::7"]'), {})
    assert [str(one) for one in settings.trusted_proxies] == ["10.0.0.0/8", "2001:db8::7/128"]
    wrong = mistakes(write(api__trusted_proxies='["10.0.0.1/8"]'))
    assert wrong == ["api.trusted_proxies: must list addresses and networks such as 10.0.0.0/8"]


def test_an_api_drains_for_seconds_unless_it_is_a_sandbox(write: Write) -> None:
    """A load balancer has to see that it stops; on one's own machine nobody waits. What is no time is told."""
    assert read_settings(write(), {}).drain_seconds == 5
    sandbox = {"environment": '"sandbox"', "sandbox__folder": '"."'}
    assert read_settings(write(**sandbox), {}).drain_seconds == 0
    assert read_settings(write(api__drain_seconds="7.5"), {}).drain_seconds == 7.5
    for wrong in ("-1", "61", "true", '"5"'):
        assert mistakes(write(api__drain_seconds=wrong)) == ["api.drain_seconds: must be 0 to 60"]


def test_facades_are_opened_by_their_names(write: Write) -> None:
    """None unless it is named, and no other than there are."""
    assert read_settings(write(), {}).facades.opened == frozenset()
    read = read_settings(write(compat__facades='["twilio"]', compat__twilio_forgets="true"), {})
    assert list(read.facades.opened) == ["twilio"]
    assert read.facades.twilio_forgets
    for wrong in ('["authy"]', '"twilio"', "[1]"):
        (told,) = mistakes(write(compat__facades=wrong))
        assert told.startswith("compat.facades: must be a list of camara, twilio")
    assert mistakes(write(compat__twilio_forgets='"yes"')) == ["compat.twilio_forgets: must be true or false"]


NAMES_OF_SECRETS = (
    *("SCA_SUPPLIER_CENTRE_PASSWORD", "SCA_PORTABILITY_AUTHORIZATION", "SCA_OPERATOR_KEY"),
    *("SCA_CAMARA_CLIENT_SECRET", "SCA_PKCS11_PIN"),
)
REFUSED = "is empty, a default or an example; production needs a secret of its own"


@pytest.mark.parametrize("text", ["", "changeme", "1234", "an-example"])
@pytest.mark.parametrize("name", NAMES_OF_SECRETS)
def test_production_starts_with_no_empty_default_or_example_secret(
    write: Write, name: str, text: str
) -> None:
    """Each secret of the environment is named, and not quoted; in the sandbox it may be anything."""
    assert mistakes(write(), {name: text}) == [f"{name}: {REFUSED}"]
    read_settings(write(environment='"sandbox"'), {name: text})


@pytest.mark.parametrize(
    ("name", "url"),
    [("redis.url", "redis://:redis@redis.example"), ("postgres.url", "postgresql://sca:sca@db.example/sca")],
)
def test_production_starts_with_no_default_password_of_a_store(write: Write, name: str, url: str) -> None:
    """In the file or in the environment."""
    variable = f"SCA_{name.replace('.', '_').upper()}"
    assert mistakes(write(**{name.replace(".", "__"): f'"{url}"'})) == [f"{name}: {REFUSED}"]
    assert mistakes(write(), {variable: url}) == [f"{name}: {REFUSED}"]
