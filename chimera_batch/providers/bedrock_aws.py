"""What the Bedrock adapter needs of AWS: clients, whether there are credentials, and what botocore's errors mean.

boto3 finds credentials in its own ordinary way. Requests are signed, so the secret key never leaves this machine; the
token of a session does, and a gateway could repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import boto3.session
import botocore.session
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.parsers import ResponseParserError

from chimera_batch import settings
from chimera_batch.errors import InputError
from chimera_batch.providers import calling
from chimera_batch.providers.base import Profile
from chimera_batch.providers.faults import Fault
from chimera_batch.stores.s3_errors import LOGIN, NETWORK

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_s3 import S3Client

_GARBLED = (ResponseParserError, AttributeError, TypeError)  # what botocore's parsers make of JSON of another shape
CAUGHT = (sdk.ClientError, sdk.BotoCoreError, *_GARBLED)
_NOT_SENT = (sdk.EndpointConnectionError, sdk.ConnectTimeoutError, sdk.ProxyConnectionError, sdk.SSLError)
_ASKS_THE_NETWORK = ("container-role", "iam-role")  # credential providers that would call out

# A repeat is the Caller's to decide, as for every other host: botocore would send a create again. An object may be sent
# again part by part.
_ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=120)
_PARTS = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=10,
    read_timeout=120,
    max_pool_connections=16,
)


@dataclass(frozen=True, slots=True)
class Clients:
    """The service's client, and that of the bucket in which files are handed over; ``secrets``: what no message may
    hold, as it is now."""

    jobs: BedrockClient
    objects: S3Client
    secrets: Callable[[], Sequence[str]] = tuple


def clients(profile: Profile) -> Clients:
    """Clients of one region; no request is sent yet. Raises InputError for what boto3 cannot use."""
    try:
        session = boto3.session.Session(region_name=profile.region or None)
        jobs: BedrockClient = session.client("bedrock", endpoint_url=profile.base_url, config=_ONCE)
        return Clients(jobs, session.client("s3", config=_PARTS), partial(_secrets, session))
    except sdk.BotoCoreError as error:
        raise InputError(f"{profile.name}: {error}", hint=_hint(profile)) from None
    except ValueError as error:  # botocore's word for a malformed endpoint
        raise InputError(str(error), hint="export AWS_ENDPOINT_URL=https://host[:port]") from error


def _secrets(session: boto3.session.Session) -> Sequence[str]:
    try:
        found = session.get_credentials()
        known = found.get_frozen_credentials() if found else None
    except sdk.BotoCoreError:  # then there is nothing that could have been sent
        return ()
    return [one for one in (known.secret_key, known.token) if one] if known else ()


def missing(profile: Profile) -> InputError | None:
    """What a run would lack here, if anything: the bucket, the role, the region or credentials. Nobody is called.

    On a machine of AWS's own the credentials come from its role, which only a call would show: then it is let be.
    """
    for field, said in (("region", profile.region), ("staging", profile.staging), ("role", profile.role)):
        if not said:
            return InputError(f"{profile.name} needs a {field}", where=f"providers.{profile.name}", hint=_hint(profile))
    try:
        known = botocore.session.get_session().get_component("credential_provider")
        for name in _ASKS_THE_NETWORK:
            known.remove(name)
        found = known.load_credentials()
    except sdk.BotoCoreError as error:
        return InputError(f"{profile.name} needs AWS credentials: {error}", hint=_LOG_IN)
    if found is None and not settings.on_aws():
        return InputError(f"{profile.name} needs AWS credentials and boto3 finds none on this machine", hint=_LOG_IN)
    return None


_LOG_IN = "aws configure   # or aws sso login, or export AWS_PROFILE=…"


def _hint(profile: Profile) -> str:
    return (
        f"providers: {{{profile.name}: {{region: us-east-1, staging: s3://BUCKET/PREFIX,"
        " role: arn:aws:iam::ACCOUNT:role/NAME}}"
    )


def fault_of(error: Exception) -> Fault:
    """A failed call of either client as a fault: the one place where botocore's errors are read."""
    if isinstance(error, sdk.ClientError):
        return _refusal(error)
    if isinstance(error, LOGIN):
        return Fault(str(error), status=401, sent=False)
    if isinstance(error, NETWORK):
        return Fault(f"no reply ({type(error).__name__}: {error})", sent=not isinstance(error, _NOT_SENT))
    if isinstance(error, _GARBLED):
        return Fault(f"the reply is not what the API gives ({error})", status=200)
    if isinstance(error, sdk.BotoCoreError):  # botocore itself refuses a parameter, or knows no such endpoint
        return Fault(str(error), status=400, sent=False)
    return calling.fault_of(error)


def _refusal(error: sdk.ClientError) -> Fault:
    said = error.response.get("Error", {})
    reply = error.response.get("ResponseMetadata", {})
    status, headers = reply.get("HTTPStatusCode", 0), reply.get("HTTPHeaders", {})
    code, message = said.get("Code") or None, said.get("Message") or ""
    # Without a body, botocore gives the status as the code.
    known = None if code is None or code.isdigit() else code
    text = f"HTTP {status}: " + ": ".join(part for part in (known, message) if part)
    return Fault(text.rstrip(": "), status=status, code=known, retry_after=calling.retry_after(headers))
