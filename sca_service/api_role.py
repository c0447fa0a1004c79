"""The api role: HTTP."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from sca_service.core import open_core
from sca_service.entrance import open_entrance
from sca_service.kernel.garbage import keep_what_is_there
from sca_service.kernel.stopping import Stop
from sca_service.sandbox.mailbox import MAILBOX_FILE, AsyncMailbox, Mailbox
from sca_service.serving import serve
from sca_service.settings import Settings
from sca_service.web import web_application

log = structlog.get_logger()


async def run_api(settings: Settings, stop: Stop) -> None:
    """The api role: HTTP until the process is told to stop. Raises StoreUnavailable, ConfigurationError.

    Hurried, it serves on for nobody; what is under way it finishes in any case, since that takes seconds at most.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        mailbox = None
        if settings.sandbox_folder:
            mailbox = AsyncMailbox(Mailbox(settings.sandbox_folder / MAILBOX_FILE))
            stack.push_async_callback(mailbox.close)
        entrance = await stack.enter_async_context(open_entrance(core))
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(entrance.door.directory.keep_fresh(ended))
            await core.announcer("api").announce(core.policy.digest, core.settings.keyring)
            application = web_application(core, entrance, mailbox, stop)
            keep_what_is_there()
            log.info("api.starting", url=settings.api_url)
            await serve(application, settings, stop)
            ended.set()
