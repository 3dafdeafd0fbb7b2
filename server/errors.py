"""The tree of errors: what can go wrong in the server, each with its HTTP status and stable code.

    ClozeError
      BadRequest            400  InvalidJson, InvalidEncoding
      Unauthorized          401
      NotFound              404  RouteNotFound, ModelNotFound
      MethodNotAllowed      405
      RequestTimeout        408
      BodyTooLarge          413
      UnsupportedMedia      415
      ValidationError       422  WrongType, EmptyText, InvalidText, NoMask, TooManyMasks,
                                 MaskTruncated, TooLong, TooManyInputs, TooManyTokens,
                                 AnswerTooLarge, MissingHead, InvalidParameter,
                                 UnknownToken
      QueueFull             429
      ClientLeft            499  (logged and counted; there is nobody to read it)
      InternalError         500  NonFiniteOutput
      NotReady              503
      Draining              503
      DeadlineExceeded      504

A message says what was wrong, what was expected and what to do, and never repeats the input.
Knows nothing of HTTP beyond statuses: `server.http.error_responses` turns these into answers.
"""

from enum import IntEnum
from typing import ClassVar


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
    type: ClassVar[str] = "internal_error"
    code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class BadRequest(ClozeError):
    """The bytes could not be read as a request."""

    status = 400
    type = "invalid_request_error"
    code = "bad_request"


class InvalidJson(BadRequest):
    """The body is not JSON, or JSON beyond what is accepted (depth, size of a number)."""

    code = "invalid_json"


class InvalidEncoding(BadRequest):
    """The body is not UTF-8."""

    code = "invalid_encoding"


class Unauthorized(ClozeError):
    """No key, or a wrong one."""

    status = 401
    type = "authentication_error"
    code = "unauthorized"


class NotFound(ClozeError):
    """Something named in the request does not exist here."""

    status = 404
    type = "not_found"
    code = "not_found"


class RouteNotFound(NotFound):
    """No route has this path."""

    code = "route_not_found"


class ModelNotFound(NotFound):
    """No model of this name is loaded."""

    code = "model_not_found"


class MethodNotAllowed(ClozeError):
    """The route exists, but not with this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(ClozeError):
    """The request did not arrive in the time that it allowed."""

    status = 408
    type = "timeout"
    code = "request_timeout"


class BodyTooLarge(ClozeError):
    """The body is larger than the server accepts."""

    status = 413
    type = "invalid_request_error"
    code = "body_too_large"


class UnsupportedMedia(ClozeError):
    """The body is compressed, or is not declared as JSON."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class ValidationError(ClozeError):
    """Well-formed, but not something that can be answered."""

    status = 422
    type = "validation_error"
    code = "validation_error"


class WrongType(ValidationError):
    """A field is missing, unknown, or of another type."""

    code = "wrong_type"


class EmptyText(ValidationError):
    """A text has nothing in it."""

    code = "empty_text"


class InvalidText(ValidationError):
    """A text holds half of a surrogate pair, which is not a character."""

    code = "invalid_text"


class NoMask(ValidationError):
    """A text to fill has no mask."""

    code = "no_mask"


class TooManyMasks(ValidationError):
    """More masks than one request may ask for."""

    code = "too_many_masks"


class MaskTruncated(ValidationError):
    """Truncation would have cut a mask off."""

    code = "mask_truncated"


class TooLong(ValidationError):
    """A text is longer than the model reads, and truncation was not asked for."""

    code = "too_long"


class TooManyInputs(ValidationError):
    """More inputs than one request may hold."""

    code = "too_many_inputs"


class TooManyTokens(ValidationError):
    """More tokens to compute than one request may ask for, whatever they come from."""

    code = "too_many_tokens"


class AnswerTooLarge(ValidationError):
    """A larger answer than one request may ask for."""

    code = "answer_too_large"


class MissingHead(ValidationError):
    """The model's checkpoint did not have the head that this task reads."""

    code = "missing_head"


class InvalidParameter(ValidationError):
    """A parameter is of the right type and out of range."""

    code = "invalid_parameter"


class UnknownToken(ValidationError):
    """A target word, or a token id, is not in the model's vocabulary."""

    code = "unknown_target"


class QueueFull(ClozeError):
    """More work is waiting than the server takes on."""

    status = 429
    type = "rate_limit_error"
    code = "queue_full"


class ClientLeft(ClozeError):
    """The client closed its connection before the answer was ready."""

    status = 499
    type = "client_closed_request"
    code = "client_closed_request"


class InternalError(ClozeError):
    """Our fault."""


class NonFiniteOutput(InternalError):
    """The model computed NaN or infinity for this input."""

    code = "nonfinite_output"


class NotReady(ClozeError):
    """Models are still being loaded."""

    status = 503
    type = "unavailable"
    code = "not_ready"


class Draining(ClozeError):
    """The server is shutting down."""

    status = 503
    type = "unavailable"
    code = "draining"


class DeadlineExceeded(ClozeError):
    """The answer was not ready in the time that the request allowed."""

    status = 504
    type = "timeout"
    code = "deadline_exceeded"

    def __init__(self) -> None:
        super().__init__("The answer was not ready before the request's deadline.")
