"""HAProxy ends mutual TLS in front of the api, and passes the certificate on as RFC 9440 says."""

import asyncio
import shutil
import ssl
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.certificates import Issued, TestAuthority, make_certificate
from tests.harness import PATIENCE_SECONDS, Deployment, Role, order
from tests.peers import command_of
from tests.ports import free_port
from tests.service.test_client_certificates import AUTHORITY, api, bound

__all__ = ["api"]
pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend banks
    bind 127.0.0.1:{port} ssl crt {server} ca-file {folder}/authority.pem verify optional
    default_backend api
backend api
{rules}
    source 127.0.0.2
    server api 127.0.0.1:{api}
"""


def rules() -> str:
    """What the ingress of `k8s/overlays/production` says to its HAProxy."""
    ingress = msgspec.yaml.decode((ROOT / "k8s/overlays/production/ingress.yaml").read_bytes())
    said: str = ingress["metadata"]["annotations"]["haproxy-ingress.github.io/config-backend"]
    return textwrap.indent(said, "    ")


@pytest.fixture
def proxy(api: Role, tmp_path: Path) -> Iterator[str]:
    """The URL of a HAProxy that asks for certificates of the test's authority, and takes requests without one too."""
    port, server = free_port(), make_certificate(tmp_path)
    (tmp_path / "authority.pem").write_bytes(AUTHORITY.issued.pem)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        CONFIGURATION.format(rules=rules(), port=port, server=server.path, folder=tmp_path, api=api.port),
        "utf-8",
    )
    process = subprocess.Popen(
        [*command_of("haproxy"), "-db", "-f", str(configuration)], stderr=subprocess.PIPE
    )
    yield f"https://localhost:{port}"
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)


def tls(folder: Path, issued: Issued | None) -> ssl.SSLContext:
    """A bank's side: it trusts the proxy, and shows a certificate if it has one."""
    context = ssl.create_default_context(cafile=folder / "localhost.pem")
    if issued:
        (folder / "client.pem").write_bytes(issued.pem_with_key)
        context.load_cert_chain(folder / "client.pem")
    return context


async def test_the_certificate_of_the_connection_is_the_one_that_counts(
    service: Deployment, proxy: str, tmp_path: Path
) -> None:
    """With it a bound key is good; without, with another, and with the right one written into a header it is not."""
    issued, other = AUTHORITY.issue(), AUTHORITY.issue()
    key = await bound(service, issued)
    written = {"Client-Cert": issued.header}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (status := await asked(proxy, key, tls(tmp_path, issued))) != 201:
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.1)
    assert await asked(proxy, key, tls(tmp_path, None)) == 401
    assert await asked(proxy, key, tls(tmp_path, None), written) == 401
    assert await asked(proxy, key, tls(tmp_path, other), written) == 401
    assert await asked(proxy, key, tls(tmp_path, issued), {"Client-Cert": other.header}) == 201
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        await _post(proxy, key, tls(tmp_path, TestAuthority.make().issue()), {})


async def asked(proxy: str, key: str, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> int:
    """The status of an issue, 0 while the proxy does not listen yet."""
    try:
        return await _post(proxy, key, context, headers or {})
    except httpx.ConnectError:
        return 0


async def _post(proxy: str, key: str, context: ssl.SSLContext, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient(
        base_url=proxy, verify=context, timeout=PATIENCE_SECONDS, trust_env=False
    ) as http:
        sent = {"Authorization": f"Bearer {key}", **headers}
        return (await http.post("/v1/challenges", json=order(), headers=sent)).status_code
