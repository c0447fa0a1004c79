"""What Redis and PostgreSQL are set to for this service, and why: one list for `sca dev` and for k8s/.

`docs/operations.md` tells it to whoever sets up servers of their own; a test holds the three against this.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter by its server's name, with the sandbox's value; where `is_sized`, others choose by their machine."""

    name: str
    value: str
    is_sized: bool = False


REDIS: Sequence[Parameter] = (
    Parameter("maxmemory-policy", "noeviction"),
    Parameter("maxmemory", "512mb", is_sized=True),
    Parameter("appendonly", "yes"),
    Parameter("appendfsync", "everysec"),
    Parameter("save", ""),
    Parameter("io-threads", "1"),
)
"""Of Redis and of Valkey."""

VALKEY: Sequence[Parameter] = (
    Parameter("hide-user-data-from-log", "yes"),
    Parameter("commandlog-execution-slower-than", "-1"),
    Parameter("commandlog-request-larger-than", "-1"),
    Parameter("commandlog-reply-larger-than", "-1"),
)
"""Of Valkey 8.1 and later alone; Redis has `slowlog-log-slower-than` for the second."""

POSTGRES: Sequence[Parameter] = (
    Parameter("fsync", "on"),
    Parameter("full_page_writes", "on"),
    Parameter("synchronous_commit", "on"),
    Parameter("max_connections", "100", is_sized=True),
    Parameter("shared_buffers", "64MB", is_sized=True),
    Parameter("max_wal_size", "1GB", is_sized=True),
    Parameter("checkpoint_timeout", "15min"),
    Parameter("random_page_cost", "1.1"),
    Parameter("jit", "off"),
    Parameter("autovacuum_vacuum_insert_scale_factor", "0.02"),
    Parameter("log_statement", "none"),
    Parameter("log_min_error_statement", "panic"),
    Parameter("log_error_verbosity", "terse"),
    Parameter("log_parameter_max_length", "0"),
    Parameter("log_parameter_max_length_on_error", "0"),
)


def values(*lists: Sequence[Parameter]) -> dict[str, str]:
    """The sandbox's value of each."""
    return {one.name: one.value for parameters in lists for one in parameters}
