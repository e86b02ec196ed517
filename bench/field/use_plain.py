"""No tool: a loop that renders, encodes and writes line by line, and one that decodes and joins. The floor, not a
competitor: it uploads, downloads, checks and keeps nothing. Run by this project's interpreter, with orjson."""

from pathlib import Path

import job
import orjson


def package() -> None:
    system = {"role": "system", "content": job.JOB["system"]}
    template = job.JOB["user"]
    out = None
    with Path(job.JOB["rows"]).open("rb") as lines:
        for number, line in enumerate(lines):
            if number % job.MOST_REQUESTS == 0:
                out = (job.FOLDER / f"batch-{number}.jsonl").open("wb")
            row = orjson.loads(line)
            user = {"role": "user", "content": template.format(**row)}
            body = {"model": job.MODEL, "messages": [system, user], "max_tokens": job.MOST_TOKENS}
            request = {"custom_id": row["row_key"], "method": "POST", "url": "/v1/chat/completions", "body": body}
            out.write(orjson.dumps(request) + b"\n")


def collect() -> None:
    with Path(job.JOB["rows"]).open("rb") as lines:
        rows = {row["row_key"]: row for row in map(orjson.loads, lines)}
    joined = characters = 0
    for path in job.JOB["outputs"]:
        with Path(path).open("rb") as lines:
            for line in lines:
                result = orjson.loads(line)
                text = result["response"]["body"]["choices"][0]["message"]["content"]
                rows[result["custom_id"]]["answer"] = text
                joined += 1
                characters += len(text)
    job.done(joined, characters)


if job.HALF == "package":
    package()
else:
    collect()
