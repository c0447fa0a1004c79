"""Where roles without HTTP show their metrics."""

from prometheus_client import start_http_server

from sca_service.settings import Settings


def serve_metrics(settings: Settings) -> None:
    """Serve this process's metrics where the configuration says, if it says so."""
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)
