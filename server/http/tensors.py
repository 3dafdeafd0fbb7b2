"""A body of the Open Inference Protocol in, its tensors out; an answer's tensors in, its bytes out.

A body is JSON. The bytes of tensors that say so (`binary_data_size`) follow it, in their order, and
the header `inference-header-content-length` says where the JSON ends. An element of a BYTES tensor
is its length, a little-endian uint32, and then its bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidEncoding, InvalidParameter, TooManyInputs, WrongType
from server.http.body import parse_json

LENGTH_HEADER: Final = "inference-header-content-length"
BINARY_TYPE: Final = "application/octet-stream"
_SIZE: Final = struct.Struct("<I")


class Tensor(NamedTuple):
    """One tensor of an answer, its values in row-major order."""

    shape: tuple[int, ...]
    values: NDArray[np.float32] | NDArray[np.int64] | Sequence[str]

    @property
    def datatype(self) -> str:
        """As the protocol calls it.

        >>> Tensor((2,), ["a", "b"]).datatype, Tensor((1,), np.zeros(1, np.float32)).datatype
        ('BYTES', 'FP32')
        """
        if not isinstance(self.values, np.ndarray):
            return "BYTES"
        return "FP32" if self.values.dtype == np.float32 else "INT64"


# --- in ---------------------------------------------------------------------------------------


def read_body(raw: bytes, json_length: str | None) -> object:
    """The body's values, in which a tensor that was sent as bytes has them as its `data`.

    Raises:
        InvalidParameter: what is said of the bytes' lengths is not so.
        ClozeError: what should be JSON is not.
    """
    end = len(raw)
    if json_length is not None:
        if not (json_length.isdecimal() and len(json_length) < 20 and int(json_length) <= end):
            raise InvalidParameter(
                f"{LENGTH_HEADER} should be how many bytes of JSON the body begins with.",
                param=LENGTH_HEADER,
            )
        end = int(json_length)
    value = parse_json(raw[:end])
    tensors = value.get("inputs") if isinstance(value, dict) else None
    place = end
    for number, tensor in enumerate(tensors if isinstance(tensors, list) else ()):
        size = _binary_size(tensor)
        if size is None:
            continue
        param = f"inputs[{number}]"
        if "data" in tensor:
            raise InvalidParameter(f"{param} has both data and binary_data_size.", param=param)
        if not 0 <= size <= len(raw) - place:
            raise InvalidParameter(
                f"{param} should have {size} bytes, and {len(raw) - place} follow the JSON and "
                "the tensors before it.",
                param=param,
            )
        tensor["data"] = raw[place : place + size]
        place += size
    if place < len(raw):
        raise InvalidParameter(
            f"{len(raw) - place} bytes at the end of the body belong to no tensor; each says its "
            "own in parameters.binary_data_size.",
            param="inputs",
        )
    return value


def _binary_size(tensor: object) -> int | None:
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    return size if isinstance(size, int) else None


def texts_of(shape: Sequence[int], data: Sequence[Any] | bytes, most: int, param: str) -> list[str]:
    r"""The elements of a BYTES tensor in row-major order.

    Args:
        shape: what the client says it is.
        data: values, in lists within lists or not, or what `read_body` found.
        most: elements that are allowed.
        param: the tensor's place.

    >>> texts_of([2], b"\x01\0\0\0a\x02\0\0\0bc", 9, "inputs[0]"), texts_of([1, 1], [["d"]], 9, "")
    (['a', 'bc'], ['d'])

    Raises:
        TooManyInputs: there are more.
        ClozeError: they are not texts, or not as many as the shape says.
    """
    count = prod(shape)
    if count > most:
        raise TooManyInputs(f"A request may hold {most} inputs; split it.", param=param)
    if isinstance(data, bytes):
        return _split(data, count, param)
    flat = list(data)
    while flat and all(isinstance(entry, list) for entry in flat):
        flat = [inner for entry in flat for inner in entry]
    if not all(isinstance(entry, str) for entry in flat):
        raise WrongType(f"{param}.data should hold strings alone.", param=f"{param}.data")
    if len(flat) != count:
        raise _miscounted(param, count, f"{len(flat)} are there")
    return flat


def _split(data: bytes, count: int, param: str) -> list[str]:
    texts, place = [], 0
    for number in range(count):
        begin = place + _SIZE.size
        if begin > len(data):
            raise _miscounted(param, count, f"{number} are there")
        place = begin + _SIZE.unpack_from(data, place)[0]
        if place > len(data):
            raise _miscounted(param, count, f"the bytes end within number {number}")
        try:
            texts.append(data[begin:place].decode())
        except UnicodeDecodeError:
            raise InvalidEncoding(
                f"Element {number} of {param} is not UTF-8, which texts have to be.", param=param
            ) from None
    if place < len(data):
        raise _miscounted(param, count, f"{len(data) - place} bytes follow these")
    return texts


def _miscounted(param: str, count: int, found: str) -> InvalidParameter:
    return InvalidParameter(
        f"By its shape, {param} should have {count} elements, and {found}.", param=param
    )


# --- out --------------------------------------------------------------------------------------


def written(tensors: Mapping[str, Tensor], binary: Mapping[str, bool]) -> tuple[list[Any], bytes]:
    r"""An answer's `outputs`, and the bytes that follow the JSON.

    >>> written({"label": Tensor((1,), ["no"])}, {"label": False})[0][0]["data"]
    ['no']
    >>> written({"label": Tensor((1,), ["no"])}, {"label": True})[1]
    b'\x02\x00\x00\x00no'
    """
    outputs, parts = [], []
    for name, tensor in tensors.items():
        told: dict[str, Any] = {
            "name": name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if binary[name]:
            parts.append(_packed(tensor))
            told["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            told["data"] = tensor.values
        outputs.append(told)
    return outputs, b"".join(parts)


def _packed(tensor: Tensor) -> bytes:
    if isinstance(tensor.values, np.ndarray):
        little = tensor.values.dtype.newbyteorder("<")
        return tensor.values.astype(little, copy=False).tobytes()
    encoded = [text.encode() for text in tensor.values]
    return b"".join([_SIZE.pack(len(one)) + one for one in encoded])
