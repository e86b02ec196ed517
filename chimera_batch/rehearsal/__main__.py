"""``python -m chimera_batch.rehearsal``: the server in a process of its own.

``--state DIR [--port N] [--speed X] [--seed N] [--settings JSON] [--parent PID]`` serves until SIGTERM, with
``--upstream URL [--upstream-model NAME] [--upstream-at-once N]`` the answers of a real model;
``check DIR`` prints what a state folder's bill shows to have been paid twice, and exits 1 if anything was (2: no bill).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.rehearsal.desk import Desk, Options, Taken
from chimera_batch.rehearsal.guests import Guests
from chimera_batch.rehearsal.knobs import BadSetting
from chimera_batch.rehearsal.server import Server
from chimera_batch.rehearsal.state import read, write_json
from chimera_batch.rehearsal.upstream import Link, Unreachable, reach

TAKEN = 3
"""Exit code: another server has the state folder."""

_QUIET = 5.0  # seconds without a request after which an orphan exits


def main(arguments: Sequence[str] | None = None, upstream_key: str = "") -> int:
    """``upstream_key``: not among the arguments, which every process of the machine can read."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return _check(Path(given[1])) if given[:1] == ["check"] and len(given) == 2 else _serve(given, upstream_key)


def _check(state: Path) -> int:
    bill = state / "billing.jsonl"
    if not bill.exists():
        sys.stderr.write(f"there is no bill in {state}\n")
        return 2
    twice = double_payments(read(bill))  # read only: a server may be writing it at this moment
    for line in twice:
        sys.stdout.write(json.dumps(line) + "\n")
    return 1 if twice else 0


def _serve(given: Sequence[str], upstream_key: str) -> int:
    told = _parser().parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    link = Link(told.upstream, told.upstream_model, upstream_key, told.upstream_at_once) if told.upstream else None
    options = Options(told.state, told.speed, told.seed, json.loads(told.settings), upstream=link)
    try:
        if link is not None:
            reach(link)
        desk = Desk(options)
    except Unreachable as error:
        sys.stderr.write(f"--upstream: {error}\n")
        return 2
    except Taken:
        sys.stderr.write(f"another server has {told.state}\n")
        return TAKEN
    except BadSetting as error:
        sys.stderr.write(f"--settings: {error}\n")
        return 2
    server = Server(desk, told.port, Guests(told.parent))

    def leave(number: int, frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which is what this handler interrupts
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    if told.parent:
        threading.Thread(target=_outlive, args=(server,), daemon=True).start()
    write_json(told.state / "server.json", {"url": server.url, "pid": os.getpid()})
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        desk.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chimera_batch.rehearsal", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder that holds everything, made if absent")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--speed", type=float, default=1200.0, help="virtual seconds per real second")
    parser.add_argument("--seed", type=int, default=0, help="of durations and answers")
    parser.add_argument("--settings", default="{}", help="JSON: rates of planted faults, limits, prices")
    parser.add_argument("--parent", type=int, default=0, help="exit when this process, and all that joined, are gone")
    parser.add_argument("--upstream", default="", help="base URL of an OpenAI-compatible server that answers")
    parser.add_argument("--upstream-model", default="", help="ask it for this model, whichever a request names")
    parser.add_argument("--upstream-at-once", type=int, default=8, help="requests under way there")
    return parser


def _outlive(server: Server) -> None:
    """Close at once when the last guest has left; when it died, only after a while without requests."""
    while not server.guests.closing:
        time.sleep(0.1)
        if time.monotonic() - server.last_request > _QUIET:
            server.guests.sweep()
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
