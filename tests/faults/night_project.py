"""The project of a bad night: one stage of a hundred notes; and how to die at a given write."""

from __future__ import annotations

import json

MANIFEST = """\
run: night
budget: {{usd: 5}}
params: {{rows: {rows}, night: "{night}"}}
models:
  asker: {{provider: {provider}, model: {model}, max_output_tokens: 2000}}
stages:
  - {{name: notes, ask: asker, prompt: nights/notes.md, rows: nights/notes_rows.sql, schema: nights/notes.json}}
"""

FILES = {
    "prompts/nights/notes.md": "<!-- user -->\n{{ params.night }}, note {{ n }}\n",
    "prompts/nights/notes.json": json.dumps(
        {
            "type": "object",
            "properties": {"sure": {"type": "boolean"}, "note": {"type": "string"}},
            "required": ["sure", "note"],
            "additionalProperties": False,
        }
    ),
    "sql/nights/notes_rows.sql": """\
-- The notes to be asked for.
-- reads: nothing
-- $rows: how many
SELECT printf('note-%03d', i) AS row_key, i AS n FROM range($rows) AS t (i) ORDER BY i
""",
}

KILLED = """\
import os, signal
from chimera_batch import api
from chimera_batch.history import ledger
from chimera_batch.context import Timing
from chimera_batch.opening import Options

def die(*given, **more):
    os.kill(os.getpid(), signal.SIGKILL)

ledger.Ledger.{at} = die
timing = Timing(poll=0.02, lease=5.0, settle=0.3, queue=0.1)
api.run({manifest!r}, Options(store={store!r}, rehearse=True, timing=timing))
"""
