"""The yardstick: a bare Litestar JSON echo on the same server and settings as the api."""

from typing import Annotated

import msgspec
from litestar import Litestar, post


class Echo(msgspec.Struct, forbid_unknown_fields=True):
    """What the echo takes and gives back: the shape of an answer to a challenge."""

    code: Annotated[str, msgspec.Meta(max_length=64)]
    transaction: dict[str, object]


@post("/echo", status_code=200)
async def echo(data: Echo) -> Echo:
    """Give back what came."""
    return data


app = Litestar([echo], openapi_config=None, logging_config=None)
