"""The tree of errors: what can go wrong in the server, each with its HTTP status and stable code.

The code is the class's name in lower case, `no_mask` for `NoMask`. A message says what was wrong,
what was expected and what to do, and never repeats the input.

Knows nothing of HTTP beyond statuses: `server.http.error_responses` turns these into answers, in
the shape that a route's clients read (`server.http.families`).
"""

import re
from enum import IntEnum
from typing import ClassVar, Literal

ErrorType = Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]
"""The kinds that text-embeddings-inference (TEI) knows; its generated clients take no other."""


class ExitCode(IntEnum):
    """How the server ends."""

    DRAINED = 0
    FAILED = 1
    """The address cannot be listened on, or a process cannot be started or go on."""
    BAD_SETTINGS = 2
    """A mistake in the settings, or a device or platform on which they cannot be followed."""
    NOT_LOADED = 3
    """A model folder was refused, or loading it failed."""


class ClozeError(Exception):
    """Base of every error that a client may see.

    `message` is one or two sentences for a person; `param` names the offending field, such as
    `inputs[3]`; `retry_after_s` becomes the `Retry-After` header where waiting helps.
    """

    status: ClassVar[int] = 500
    error_type: ClassVar[ErrorType] = "Backend"
    code: ClassVar[str] = "internal_error"

    def __init_subclass__(cls) -> None:
        """Names the code as the class, unless the class says it."""
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.reason = self.code
        """What metrics count it as: one of few words, so never of the request."""


class BadRequest(ClozeError):
    """The bytes could not be read as a request."""

    status = 400
    error_type = "Validation"


class InvalidJson(BadRequest):
    """The body is not JSON, or JSON beyond what is accepted (depth, size of a number)."""


class InvalidHttp(BadRequest):
    """The bytes are not a request of HTTP/1.1, or are one that two readers may read differently."""


class InvalidEncoding(BadRequest):
    """The body is not UTF-8."""


class InvalidCompression(BadRequest):
    """The body is not what its content-encoding says, or not all of it."""


class Unauthorized(ClozeError):
    """No key, or a wrong one."""

    status = 401
    error_type = "Validation"


class NotFound(ClozeError):
    """Something named in the request does not exist here."""

    status = 404
    error_type = "Validation"


class RouteNotFound(NotFound):
    """No route has this path."""


class ModelNotFound(NotFound):
    """No model of this name is loaded."""


class MethodNotAllowed(ClozeError):
    """The route exists, but not with this method."""

    status = 405
    error_type = "Validation"


class NotAcceptable(ClozeError):
    """The client takes the answer in none of the codings that there are."""

    status = 406
    error_type = "Validation"


class RequestTimeout(ClozeError):
    """The request did not arrive in the time that it allowed."""

    status = 408
    error_type = "Validation"


class BodyTooLarge(ClozeError):
    """The body is larger than the server accepts."""

    status = 413
    error_type = "Validation"


class UrlTooLong(ClozeError):
    """The URL is longer than the server accepts."""

    status = 414
    error_type = "Validation"


class UnsupportedMediaType(ClozeError):
    """The body is in a coding that is not read here, or is not declared as JSON."""

    status = 415
    error_type = "Validation"


class ValidationError(ClozeError):
    """Well-formed, but not something that can be answered."""

    status = 422
    error_type: ClassVar[ErrorType] = "Validation"


class WrongType(ValidationError):
    """A field is missing, unknown, or of another type."""


class EmptyText(ValidationError):
    """A text has nothing in it."""

    error_type = "Empty"


class InvalidText(ValidationError):
    """A text holds half of a surrogate pair, which is not a character."""

    error_type = "Tokenizer"


class NoMask(ValidationError):
    """A text to fill has no mask."""


class TooManyMasks(ValidationError):
    """More masks than one request may ask for."""


class MaskTruncated(ValidationError):
    """Truncation would have cut a mask off."""


class TooLong(ValidationError):
    """A text is longer than the model reads, and truncation was not asked for."""


class TooManyInputs(ValidationError):
    """More inputs than one request may hold."""


class TooManyTokens(ValidationError):
    """More tokens to compute than one request may ask for, whatever they come from."""


class AnswerTooLarge(ValidationError):
    """A larger answer than one request may ask for."""


class MissingHead(ValidationError):
    """The model's checkpoint did not have the head that this task reads."""


class ModelRequired(ValidationError):
    """Several models could answer, and the request names none of them."""


class InvalidParameter(ValidationError):
    """A parameter is of the right type and out of range."""


class UnknownTarget(ValidationError):
    """A target word, or a token id, is not in the model's vocabulary."""


Full = Literal[
    "tokens", "body_bytes", "answer_bytes", "key_tokens", "key_requests", "key_tokens_at_once"
]
"""What there is no more room for: of all requests together, or of those of one key."""


class QueueFull(ClozeError):
    """More work is waiting than the server takes on."""

    status = 429
    error_type = "Overloaded"

    def __init__(
        self,
        message: str,
        *,
        full: Full | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        if full is not None:
            self.reason = f"{self.code}:{full}"


class HeadTooLarge(ClozeError):
    """The head of the request, or one field of it, is larger than the server accepts."""

    status = 431
    error_type = "Validation"


class ClientClosedRequest(ClozeError):
    """The client closed its connection before the answer was ready."""

    status = 499
    error_type = "Validation"


class InternalError(ClozeError):
    """Our fault."""


class NonfiniteOutput(InternalError):
    """The model computed NaN or infinity for this input."""


class UnknownTransferCoding(ClozeError):
    """The body is sent in a transfer coding other than chunked."""

    status = 501
    error_type = "Validation"


class Overloaded(ClozeError):
    """More connections are open than the server takes."""

    status = 503
    error_type = "Overloaded"


class NotReady(ClozeError):
    """Models are still being loaded."""

    status = 503
    error_type = "Unhealthy"


class Draining(ClozeError):
    """The server is shutting down."""

    status = 503
    error_type = "Unhealthy"


class DeadlineExceeded(ClozeError):
    """The answer was not ready in the time that the request allowed."""

    status = 504
    error_type = "Overloaded"

    def __init__(self) -> None:
        super().__init__("The answer was not ready before the request's deadline.")
