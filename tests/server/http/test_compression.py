"""Bodies and answers in gzip: bounded, strict, and only for who asks."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import pytest
from starlette.testclient import TestClient

from server.errors import BodyTooLarge, InvalidCompression, UnsupportedMediaType
from server.http.compression import inflated, known_coding, takes_gzip
from server.http.context import Service
from tests.server.http.conftest import Build

MOST = 100_000
TEXT = b'{"inputs": "Paris is the [MASK] of France."}'


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


GZIPPED = gzip.compress(TEXT, mtime=0)
PACKED = {
    "gzip": GZIPPED,
    "gzip with a name in it": GZIPPED[:3] + b"\x08" + GZIPPED[4:10] + b"body.json\0" + GZIPPED[10:],
    "deflate": zlib.compress(TEXT),
    "deflate without a frame": raw_deflate(TEXT),
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKED)
def test_a_body_is_what_was_packed(kind: str) -> None:
    assert inflated(PACKED[kind], kind.partition(" ")[0], MOST) == TEXT


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, MOST])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_every_size_up_to_the_limit_is_read(size: int, coding: str) -> None:
    content = bytes(byte % 251 for byte in range(size))
    packed = gzip.compress(content) if coding == "gzip" else zlib.compress(content)
    assert inflated(packed, coding, MOST) == content


@pytest.mark.parametrize("kind", PACKED)
def test_a_body_that_is_cut_anywhere_is_refused(kind: str) -> None:
    packed = PACKED[kind]
    for end in range(len(packed)):
        with pytest.raises(InvalidCompression):
            inflated(packed[:end], kind.partition(" ")[0], MOST)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("more", [b"\0", b"x", b"\n", PACKED["gzip"]])
def test_nothing_may_follow_a_body(kind: str, more: bytes) -> None:
    with pytest.raises(InvalidCompression):
        inflated(PACKED[kind] + more, kind.partition(" ")[0], MOST)


@pytest.mark.parametrize(
    "damaged", [TEXT, b"\x1f\x8b\x08", b"\x1f\x8b\x07" + b"\0" * 20, b"\0" * 9]
)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_no_stream_is_refused(damaged: bytes, coding: str) -> None:
    with pytest.raises(InvalidCompression):
        inflated(damaged, coding, MOST)


def test_a_checksum_that_is_wrong_is_refused() -> None:
    packed = bytearray(PACKED["gzip"])
    packed[-6] ^= 1
    with pytest.raises(InvalidCompression):
        inflated(bytes(packed), "gzip", MOST)


@pytest.mark.parametrize("content", [b"\0" * 60_000_000, b'"ab", ' * 9_000_000])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_bomb_is_refused_after_at_most_64_kilobytes_beyond_the_limit(
    content: bytes, pack: object
) -> None:
    packed = pack(content)  # type: ignore[operator]
    coding = "gzip" if pack is gzip.compress else "deflate"
    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        inflated(packed, coding, MOST)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # What is inflated, the parts of a step before they are joined, and a copy of the input's rest.
    assert most < MOST + 4 * (64 << 10) + 2 * len(packed)


@pytest.mark.parametrize(
    "coding", [b"br", b"zstd", b"compress", b"gzip, gzip", b"gzip;q=1", b"\xff"]
)
def test_other_codings_are_not_read(coding: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        known_coding(coding)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        (b"gzip, deflate, br", True),
        (b"br;q=1, gzip;q=0.1", True),
        (b"*", True),
        (b"identity;q=0", False),
        (b"gzip;q=0, *;q=0.5", False),
        (b"identity;q=0.9, gzip;q=0.2", False),
        (b"", False),
        (b"br, " * 100 + b"gzip", True),
    ],
)
def test_who_asks_for_gzip_gets_it(accepted: bytes, packed: bool) -> None:
    assert takes_gzip(accepted) is packed


# --- the whole server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": ["A river runs through it.", "Über Brücken"]}),
        ("/v1/embeddings", {"input": "A river runs through it."}),
        ("/v1/embeddings", {"input": "A river", "encoding_format": "base64"}),
        ("/fill-mask", {"inputs": "A [MASK].", "parameters": {"top_k": 200}}),
    ],
)
def test_an_answer_is_the_same_packed_and_plain(build: Build, path: str, body: object) -> None:
    client = TestClient(build())
    plain = client.post(path, json=body, headers={"accept-encoding": "identity"})
    packed = client.post(path, json=body, headers={"accept-encoding": "gzip"})
    assert plain.json() == packed.json()
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


def test_a_short_answer_is_never_packed(build: Build) -> None:
    client = TestClient(build())
    for path, body in (("/fill-mask", {"inputs": "A [MASK]."}), ("/nsp", {"inputs": ["a", "b"]})):
        answered = client.post(path, json=body, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in answered.headers


@pytest.mark.parametrize(
    ("content", "coding", "status", "code"),
    [
        (PACKED["gzip"], "gzip", 200, None),
        (PACKED["gzip"], "X-GZIP", 200, None),
        (PACKED["deflate"], "Deflate", 200, None),
        (TEXT, "identity", 200, None),
        (PACKED["gzip"][:-1], "gzip", 400, "invalid_compression"),
        (PACKED["deflate"] + b"}", "deflate", 400, "invalid_compression"),
        (TEXT, "gzip", 400, "invalid_compression"),
        (PACKED["gzip"], "br", 415, "unsupported_media_type"),
        (gzip.compress(b" " * 2_000_001, mtime=0), "gzip", 413, "body_too_large"),
        (gzip.compress(TEXT.ljust(2_000_000), mtime=0), "gzip", 200, None),
        (gzip.compress(b"{", mtime=0), "gzip", 400, "invalid_json"),
    ],
)
def test_a_packed_body_is_bounded_by_what_it_inflates_to(
    build: Build, content: bytes, coding: str, status: int, code: str | None
) -> None:
    headers = {"content-encoding": coding, "content-type": "application/json"}
    client = TestClient(build())
    answered = client.post("/fill-mask", content=content, headers=headers)
    assert answered.status_code == status
    if code is not None:
        assert answered.json()["code"] == code
    elif coding != "identity":
        assert answered.json() == client.post("/fill-mask", json=json.loads(TEXT)).json()


def test_what_is_inflated_counts_among_the_bodies_that_are_held(build: Build) -> None:
    app = build(max_body_bytes=300_000, pending_body_bytes=300_000)
    service = app.user_middleware[0].kwargs["service"]
    assert isinstance(service, Service)
    other = service.admission.open()
    other.receive(100_000)
    packed = gzip.compress(TEXT.ljust(299_990))
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    refused = TestClient(app).post("/fill-mask", content=packed, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
    assert TestClient(app).post("/fill-mask", content=PACKED["gzip"], headers=headers).is_success
    other.close()
    assert TestClient(app).post("/fill-mask", content=packed, headers=headers).is_success
    assert service.admission.body_bytes == 0


def test_a_packed_body_reaches_the_route_that_it_is_passed_on_to(build: Build) -> None:
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    for path in ("/", "/models/cloze-small-en"):
        answered = TestClient(build()).post(path, content=PACKED["gzip"], headers=headers)
        assert answered.json()[0]["token_str"] == "capital"
