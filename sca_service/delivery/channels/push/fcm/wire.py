"""FCM HTTP v1 on the wire: `POST /v1/projects/{project}/messages:send`, and what its errors say.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

import re

import msgspec

from sca_service.delivery.channels.push.model import FcmAddress
from sca_service.delivery.channels.push.wake_up import WakeUp
from sca_service.delivery.http_client import HttpAnswer, read_json, unreadable
from sca_service.kernel.secret import Secret

_GONE_STATUSES = frozenset({"UNREGISTERED", "SENDER_ID_MISMATCH"})

_PROJECT = re.compile(r"[a-z0-9.:-]{1,100}", re.ASCII)


class _Project(msgspec.Struct, frozen=True):
    project_id: str = ""


class _Taken(msgspec.Struct, frozen=True):
    name: str = ""


class _Violation(msgspec.Struct, frozen=True):
    field: str = ""


class _Detail(
    msgspec.Struct, frozen=True, rename={"error_code": "errorCode", "violations": "fieldViolations"}
):
    error_code: str = ""
    violations: tuple[_Violation, ...] = ()


class _Error(msgspec.Struct, frozen=True):
    status: str = ""
    details: tuple[_Detail, ...] = ()


class _Refused(msgspec.Struct, frozen=True):
    error: _Error = _Error()


def request_of(wake_up: WakeUp, address: FcmAddress) -> bytes:
    """The message for one app: members for its own code only, so that it runs before anything is shown.

    An app on an iPhone cannot run for those, so it gets the neutral title to show, and may put more in its place.
    """
    return msgspec.json.encode(
        {
            "message": {
                "token": address.registration,
                "data": wake_up.members,
                "android": {
                    "priority": "HIGH" if wake_up.is_urgent else "NORMAL",
                    "ttl": f"{wake_up.lifetime_seconds}s",
                },
                "apns": {
                    "headers": {
                        "apns-push-type": "alert",
                        "apns-priority": "10" if wake_up.is_urgent else "5",
                        "apns-collapse-id": wake_up.delivery_id,
                        "apns-expiration": str(wake_up.expires_at_seconds),
                    },
                    "payload": {
                        "aps": {
                            "alert": {"title": wake_up.title},
                            "content-available": 1,
                            "mutable-content": 1,
                        }
                    },
                },
            }
        }
    )


def project_of(service_account: Secret[str]) -> str:
    """The project that a service account is of. Raises ValueError without quoting any of it."""
    try:
        project = msgspec.json.decode(service_account.reveal(), type=_Project).project_id
    except msgspec.DecodeError:
        project = ""
    if not _PROJECT.fullmatch(project):
        raise ValueError("names no project")
    return project


def taken_as(answer: HttpAnswer) -> str:
    """Firebase's name for the message, `projects/…/messages/…`. Raises SupplierFailure for a 200 without one."""
    name = read_json(answer, _Taken).name
    if not name:
        raise unreadable()
    return name


def is_gone(answer: HttpAnswer) -> bool:
    """Whether a refusal says that this registration is of no more use to us.

    The app was removed (`UNREGISTERED`), belongs to another project (`SENDER_ID_MISMATCH`), or never had such a
    registration: an invalid argument which is the registration itself, and not something else in our message.
    """
    if answer.status not in (400, 403, 404):
        return False
    try:
        error = msgspec.json.decode(answer.body, type=_Refused).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    codes = {detail.error_code for detail in error.details}
    if codes & _GONE_STATUSES:
        return True
    fields = {violation.field for detail in error.details for violation in detail.violations}
    return answer.status == 400 and fields == {"message.token"}
