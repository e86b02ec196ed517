"""What the S3 SDK's errors mean, for a person and for the fate of a put: the one place where they are translated."""

from __future__ import annotations

from botocore import exceptions as sdk

from chimera_batch.errors import ChimeraError, InputError, MissingObject, StoreDown

SDK_ERRORS = (sdk.ClientError, sdk.BotoCoreError)
NETWORK = (sdk.HTTPClientError, sdk.ConnectionError, sdk.IncompleteReadError, sdk.FlexibleChecksumError)
LOGIN = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.SSOError,
    sdk.ProfileNotFound,
)

_DENIED = "aws sts get-caller-identity   # the role needs s3:GetObject, s3:PutObject, s3:ListBucket, s3:DeleteObject"
KEYS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE"
CERTIFICATE = "export AWS_CA_BUNDLE=/path/to/ca.pem"
_EXPIRED = "aws sso login   # or renew the session's keys, then run the same line again"
_REGION = "export AWS_REGION=…   # the region that the bucket lies in"
_ROOM = "free some space or raise the bucket's quota, then run the same line again"

_INPUT: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("the bucket does not exist", "aws s3 mb s3://BUCKET   # or correct `store:`"),
    "InvalidBucketName": ("the bucket's name is not valid", "store: s3://bucket/prefix"),
    "AccessDenied": ("access is denied", _DENIED),
    "AllAccessDisabled": ("access to the bucket is switched off", _DENIED),
    "403": ("access is denied", _DENIED),
    "Forbidden": ("access is denied", _DENIED),
    "InvalidAccessKeyId": ("the access key is unknown there", KEYS),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", KEYS),
    "ExpiredToken": ("the credentials have expired", _EXPIRED),
    "ExpiredTokenException": ("the credentials have expired", _EXPIRED),
    "TokenRefreshRequired": ("the credentials have expired", _EXPIRED),
    "InvalidToken": ("the session token is not valid", _EXPIRED),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "timedatectl set-ntp true"),
    "PermanentRedirect": ("the bucket lies in another region", _REGION),
    "301": ("the bucket lies in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket lies in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket lies in another region", _REGION),
    "NotImplemented": (
        "the server does not offer what the store needs (conditional writes: If-None-Match)",
        "use a server that honours If-None-Match, or a folder: --store ./runs",
    ),
    "QuotaExceeded": ("the bucket is full", _ROOM),
    "InsufficientStorage": ("the server's disk is full", _ROOM),
    "XMinioStorageFull": ("the server's disk is full", _ROOM),
    "KMS.DisabledException": ("the bucket's encryption key is disabled", "aws kms enable-key --key-id …"),
}

_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout", "TooManyRequests"}


def unreachable(reason: str, where: str) -> ChimeraError:
    """The server could not be asked, or was too busy, after the SDK's own retries."""
    return StoreDown(
        f"the store is unreachable: {reason}",
        where=where,
        hint="wait and run the same line again; if it stays so, check AWS_ENDPOINT_URL and the network",
    )


def refused(code: str, status: int, message: str, where: str) -> ChimeraError:
    """The error for a server's answer. ``code`` is S3's word (or the status, where there was no body)."""
    if code in _INPUT:
        what, hint = _INPUT[code]
        return InputError(f"{what} ({code})", where=where, hint=hint)
    if code in {"NoSuchKey", "404", "NotFound"}:
        return MissingObject("is not in the store", where=where)
    if status >= 500 or status in {408, 429} or code in _BUSY:
        return unreachable(f"{code} {message}".strip(), where)
    if status in {401, 403}:
        return InputError(f"access is denied ({code})", where=where, hint=_DENIED)
    return ChimeraError(f"the S3 server refused: {code} {message}".strip(), where=where)


def explain(error: Exception, where: str) -> ChimeraError:
    """botocore's errors as ours: the one place where they are translated."""
    if isinstance(error, sdk.ClientError):
        code, status, message = _answer(error)
        return refused(code, status, message, where)
    if isinstance(error, LOGIN):
        return InputError(str(error), where=where, hint=KEYS)
    if isinstance(error, sdk.SSLError):
        return InputError(f"the server's certificate is not trusted: {error}", where=where, hint=CERTIFICATE)
    if isinstance(error, NETWORK):
        return unreachable(str(error), where)
    if isinstance(error, sdk.ParamValidationError):
        return InputError(f"boto3 refuses the bucket or prefix: {error}", where=where, hint="store: s3://bucket/prefix")
    return ChimeraError(f"boto3 failed: {error}", where=where)


def _answer(error: sdk.ClientError) -> tuple[str, int, str]:
    said = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return said.get("Code", ""), status, said.get("Message", "")


def met_another(error: Exception) -> bool:
    """Another write of the same key was first or is under way, perhaps our own, sent before its reply was lost."""
    if not isinstance(error, sdk.ClientError):
        return False
    code, status, _ = _answer(error)
    return status in {409, 412} or code in {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload"}


def fate_unknown(error: Exception) -> bool:
    """The put may have happened: no reply, or a server's error after it had begun."""
    if isinstance(error, sdk.ClientError):
        return _answer(error)[1] >= 500
    return isinstance(error, NETWORK) and not isinstance(error, sdk.SSLError)
