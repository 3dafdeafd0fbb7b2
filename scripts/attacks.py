"""Long things and the places of each route where they fit in, requests that ask for much out.

The things and the places stand in `attacks.json`; each thing is made in a few sizes for each place.
How a connection is used is attacked by itself. Requests that once fell have names.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

DOCUMENTED = frozenset({200, 400, 404, 405, 408, 413, 414, 422, 429, 431, 501, 504})
# Of the first size are texts that may be read on the event loop, of the second bodies; the third is
# the most that is accepted.
SIZES = {"2 KB": 1_900, "60 KB": 60_000, "2 MB": 1_890_000}
MOST_VALUES, PARTS = 65_000, 480  # of a body, where 65,536 are allowed; of a text in a list
_MADE = json.loads(Path(__file__).with_suffix(".json").read_text())
TEXTS, VALUES, ROUTES = _MADE["texts"], _MADE["values"], _MADE["routes"]
_LONG = {"16,000 marks": "!" * 16_000, "usual text": "a fairly usual text of some words " * 110}
_PARTS = (
    _MADE["parts"]
    | {f"{n} words": ",".join([f'"qz{k}x"' for k in range(n)]) for n in (200, 1000)}
    | {name: '["a"' + ',"b"' * 899 + end for name, end in (("list", "]"), ("lists", "],"))}
    | {name + end: f'"{text}"{end}' for name, text in _LONG.items() for end in ("", ",")}
)


@dataclass(frozen=True)
class Request:
    """One request, which answers to it are right, and how often it is sent at a time."""

    path: str
    body: bytes
    right: frozenset[int] = DOCUMENTED
    burst: int = 50
    head: str = ""
    wire: bytes = b""  # in place of a usual request

    @property
    def bytes(self) -> bytes:
        """The request as it goes over the wire; the server closes the connection after it."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{self.head}"
        return self.wire or f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


def joined(pieces: Sequence[tuple[str, int]]) -> bytes:
    """Parts, by their names or as they are, each some times."""
    return "".join([_PARTS.get(part, part) * times for part, times in pieces]).encode()


def of_route(route: str, path: str) -> Iterator[tuple[str, Request]]:
    """All that is made for a route, which `path` leads to: texts, lists of texts, any values."""
    item, (field, *_) = ROUTES[route]["item"], ROUTES[route]["fields"]
    for (name, text), (number, asked) in product(TEXTS.items(), enumerate(ROUTES[route]["asked"])):
        unit = json.dumps(text, ensure_ascii=False)[1:-1]
        for size, count in SIZES.items():
            times, label = count // len(unit.encode()), f"{route} {size} of {name}, asked {number}"
            if size != "60 KB":
                inputs = item.replace("$", unit * times)
                yield label, Request(path, f'{{"{field}":{inputs}{asked}}}'.encode())
            if size != "2 MB" or not number:
                parts = [item.replace("$", unit * max(1, times // PARTS))] * min(times, PARTS)
                body = f'{{"{field}":[{",".join(parts)}]{asked}}}'
                yield f"{label}, in a list", Request(path, body.encode())
    firsts = (("", ""), ("a string, then ", '"a",'))
    fields = product(ROUTES[route]["fields"], firsts, VALUES.items())
    for place, (first, begin), (name, unit) in fields:
        for size in ("60 KB", "2 MB") if place == field and not first else ("60 KB",):
            times = min(SIZES[size] // (len(unit) + 1), MOST_VALUES // (1 + unit.count("[")))
            value = f"[{begin}{','.join([unit] * times)}]"
            outer, _, inner = place.rpartition(".")
            made = f'"{outer}":{{"{inner}":{value}}}' if outer else f'"{inner}":{value}'
            plain = "" if place == field else f'"{field}":{item.replace("$", "a")},'
            made = f"{{{plain}{made}}}"
            yield f"{route} {size} of {first}{name} as {place}", Request(path, made.encode())


SOCKETS = {
    f"socket: {name}": Request("", b"", wire=joined(pieces))
    for name, pieces in _MADE["sockets"].items()
}
NAMED = {
    name: Request(path, joined(pieces), frozenset(right), *more)
    for name, (path, right, pieces, *more) in _MADE["named"].items()
}
