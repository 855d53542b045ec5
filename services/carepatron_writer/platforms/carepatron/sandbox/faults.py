"""How a request is spoilt: refused, carried out and not answered, answered wrongly or without end."""

import asyncio
import uuid
import zlib
from collections.abc import Awaitable, Callable
from functools import cache

import orjson
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem

BROKEN = (b"<html><body>Bad gateway</body></html>", b"", b'{"id":"')
PIECE = 1 << 20
BLOCK = 16 << 20
HEADERS = 10_000
LONGEST_HANG_SECONDS = 3600


async def refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without carrying anything out. The body is taken first, so that its sender waits for the answer."""
    while (await receive()).get("more_body"):
        pass
    await answer(scope, receive, send)


async def hang(receive: Receive) -> None:
    """No answer, until the sender leaves."""
    async with asyncio.timeout(LONGEST_HANG_SECONDS):
        while (await receive())["type"] != "http.disconnect":
            pass


async def lose(app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, is_reset: bool) -> None:
    """Carry it out, then 503 or a broken connection."""
    await app(scope, receive, _forget)
    if is_reset:
        await _reset(receive)
    else:
        await problem("upstream-chaos")(scope, receive, send)


async def break_off(app: ASGIApp, scope: Scope, receive: Receive, send: Send, turn: int) -> None:
    """Carry it out, then 200 with HTML, nothing, or half of it."""
    await app(scope, receive, _forget)
    await _start(send)
    await send({"type": "http.response.body", "body": BROKEN[turn % len(BROKEN)]})


async def trickle(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, seconds: float, pause: Callable[[float], Awaitable[None]]
) -> None:
    """Carry it out, then a byte at a time."""
    await app(scope, receive, _forget)
    await _start(send)
    for one in b'{"id":"' + b"x" * 4096 + b'"}':
        await send({"type": "http.response.body", "body": bytes([one]), "more_body": True})
        await pause(seconds)
    await send({"type": "http.response.body", "body": b""})


async def flood(app: ASGIApp, scope: Scope, receive: Receive, send: Send, size: int) -> None:
    """Carry it out, then an answer of this size."""
    await app(scope, receive, _forget)
    await _start(send)
    left, piece = size, b"x" * PIECE
    await send({"type": "http.response.body", "body": b'{"id":"', "more_body": True})
    while left > 0:
        await send({"type": "http.response.body", "body": piece[:left], "more_body": True})
        left -= PIECE
        await asyncio.sleep(0)  # others are asked too
    await send({"type": "http.response.body", "body": b'"}'})


async def bomb(app: ASGIApp, scope: Scope, receive: Receive, send: Send, size: int) -> None:
    """Carry it out, then a small answer that becomes one of this size."""
    await app(scope, receive, _forget)
    body = await asyncio.to_thread(gzip_of_spaces, size)
    await _start(send, (b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.body", "body": body})


async def add_headers(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer, under a heap of headers that try to be remembered."""

    async def heap(message: Message) -> None:
        if message["type"] == "http.response.start":
            noise = [(f"x-noise-{number}".encode(), b"noise") for number in range(HEADERS)]
            message["headers"] = [*message["headers"], (b"set-cookie", b"cp-session=planted; Path=/"), *noise]
        await send(message)

    await app(scope, receive, heap)


async def change_id(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to a POST, with an id that nobody has."""
    if scope["method"] != "POST":
        await app(scope, receive, send)
        return
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    body = b"".join(one.get("body", b"") for one in messages[1:])
    if messages[0]["status"] < 300 and body.startswith(b"{"):
        answer = orjson.loads(body)
        body = orjson.dumps({**answer, "id": str(uuid.uuid4())} if "id" in answer else answer)
    await send(messages[0])
    await send({"type": "http.response.body", "body": body})


def redirect(to: str, scope: Scope) -> Response:
    """The same path on another host (RFC 9110, section 15.4.8: method and body would go along)."""
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(to.rstrip("/") + scope["path"] + (f"?{query}" if query else ""), 307)


@cache
def gzip_of_spaces(size: int) -> bytes:
    """So many spaces as one gzip stream (RFC 1952), made without ever holding them."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), b" " * BLOCK
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)  # stands alone: may be repeated
    times, rest, sum_of = size // BLOCK, size % BLOCK, 0
    for _ in range(times):
        sum_of = zlib.crc32(block, sum_of)
    sum_of = zlib.crc32(block[:rest], sum_of)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    tail = packer.compress(block[:rest]) + packer.flush()
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return head + packed * times + tail + sum_of.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


async def _start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json"), *headers]})


async def _forget(_: Message) -> None:
    """Let an answer go nowhere."""


async def _reset(receive: Receive) -> None:
    """Cut the connection without an answer: the server's transport where there is one, else as an error to the caller."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
