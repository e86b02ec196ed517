"""The connections to a host: what goes along when a reply leads elsewhere, and how much of a reply is read. Floor 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2

from chimera_batch.providers.calling import SaidError
from chimera_batch.providers.faults import Fault

LARGEST = 256 << 20  # bytes of one reply: an answer of 128,000 tokens with twenty logprobs each is 180 MB
_HARMLESS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "range",
    "transfer-encoding",
    "user-agent",
}
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}  # of bytes that are decoded by now


class Bounded(httpx2.Client):
    """A client that reads at most ``LARGEST`` bytes of a reply, except where the caller asked for a stream.

    Beyond that it raises SaidError, which ``calling`` makes one of our errors: nobody means such a reply, and it would
    take this machine's memory.
    """

    def send(self, request: httpx2.Request, *, stream: bool = False, **how: Any) -> httpx2.Response:
        response = super().send(request, stream=True, **how)
        if stream and response.is_success:
            return response
        try:
            return _whole(response)
        finally:
            response.close()


def _whole(response: httpx2.Response) -> httpx2.Response:
    pieces, size = [], 0
    for piece in response.iter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            said = f"the reply is longer than {LARGEST:,} bytes, which none is that the API gives"
            raise SaidError(Fault(said, status=response.status_code))
    return httpx2.Response(
        response.status_code,
        headers=[(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WIRE],
        content=b"".join(pieces),
        request=response.request,
        extensions=response.extensions,
        history=response.history,
    )


def hooks(base_url: str) -> dict[str, list[Callable[..., None]]]:
    """What a client that follows redirects does before each request and after each reply, those on the way included."""
    return {"request": [_only_at(base_url)], "response": [_pass_over]}


def _pass_over(response: httpx2.Response) -> None:
    """What stands in a reply that leads elsewhere is nobody's: httpx2 would read all of it before it goes on."""
    if response.has_redirect_location:
        response.close()
        response.stream, response.is_closed = httpx2.ByteStream(b""), False


def _only_at(base_url: str) -> Callable[[httpx2.Request], None]:
    """Another origin than this one gets no key and no header of the profile, but what fetching a file takes.

    The same host over TLS is no other one.
    """
    url = httpx2.URL(base_url)
    homes = {url.origin}
    if url.scheme == "http" and url.port is None:
        homes.add(url.copy_with(scheme="https").origin)

    def hook(request: httpx2.Request) -> None:
        if request.url.origin not in homes:
            for name in request.headers.keys() - _HARMLESS:
                del request.headers[name]

    return hook
