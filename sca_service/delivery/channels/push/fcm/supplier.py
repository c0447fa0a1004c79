"""Wakes a payer's apps over Firebase Cloud Messaging."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.google_access import GoogleAccess, ServiceAccount
from sca_service.delivery.channels.push.device_words import DeviceWords
from sca_service.delivery.channels.push.fan_out import lifetime_seconds, refusal_of, to_every_device
from sca_service.delivery.channels.push.fcm.settings import SERVICE_ACCOUNT, Settings
from sca_service.delivery.channels.push.fcm.wire import is_gone, project_of, request_of, taken_as
from sca_service.delivery.channels.push.model import FcmAddress
from sca_service.delivery.channels.push.wake_up import WakeUp
from sca_service.delivery.http_client import HttpAnswer
from sca_service.delivery.supplier import Accepted, Message
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.model import Channel

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


class FcmSupplier:
    """Carries push to apps over Firebase. A class because it holds the access."""

    channel = Channel.PUSH

    def __init__(self, context: Context, settings: Settings, access: GoogleAccess, project: str) -> None:
        self.name = context.rule.name
        self._settings = settings
        self._url = f"{settings.url}/v1/projects/{project}/messages:send"
        self._access = access
        self._http = context.http
        self._clock = context.clock
        self._devices = context.devices
        self._words = DeviceWords(context)

    async def send(self, message: Message) -> Accepted:
        """Wake every app of the payer that Firebase knows. Raises SupplierFailure."""
        wake_up = WakeUp.of(
            message,
            lifetime_seconds=lifetime_seconds(message, self._clock, otherwise=self._settings.notice_seconds),
            reply_to=self._words.reply_to(message.delivery_id),
            own=self._settings.titles,
        )

        async def hand_over(address: FcmAddress) -> str | None:
            return await self._hand_over(request_of(wake_up, address))

        return await to_every_device(self._devices, message, FcmAddress, hand_over)

    async def close(self) -> None:
        """Nothing is under way between two messages; the connections are the worker's."""

    async def _hand_over(self, body: bytes) -> str | None:
        answer = await self._post(body)
        if answer.status == 401:  # revoked before its time; nothing was taken, so once more with a new one
            answer = await self._post(body)
        if is_gone(answer):
            return None
        if answer.status != 200:
            raise refusal_of(answer)
        return taken_as(answer)

    async def _post(self, body: bytes) -> HttpAnswer:
        authorization = await self._access.authorization()
        headers = {"Authorization": authorization.reveal(), "Content-Type": "application/json; charset=UTF-8"}
        answer = await self._http.call("POST", self._url, headers=headers, body=body)
        if answer.status == 401:
            self._access.forget(authorization)
        return answer


def build(context: Context) -> FcmSupplier:
    """The supplier of a section. Raises ConfigurationError."""
    settings, section = context.settings(Settings), context.rule.name
    text = context.secret(SERVICE_ACCOUNT)
    account = ServiceAccount.parse(text, section=section)
    try:
        project = project_of(text)
    except ValueError as error:
        raise ConfigurationError(f"suppliers.toml:{section}: service_account {error}") from None
    access = GoogleAccess(account, scope=SCOPE, section=section, http=context.http, clock=context.clock)
    return FcmSupplier(context, settings, access, project)
