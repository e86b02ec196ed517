"""LangBatch: ``OpenAIChatCompletionBatch.create_from_requests`` (the way that lets the ids be chosen, which the join
needs), ``start``, ``get_results`` (https://github.com/EasyLLM/langbatch). The join with the rows is ours to write.
"""

import os

import job

os.environ["LANGBATCH_DATA_PATH"] = str(job.FOLDER)

from langbatch.batch_storages import FileBatchStorage
from langbatch.openai import OpenAIChatCompletionBatch

storage = FileBatchStorage(str(job.FOLDER / "saved"))
if job.HALF == "package":
    ids = []
    for part in job.parts():
        batch = OpenAIChatCompletionBatch.create_from_requests(
            {
                "custom_id": row["row_key"],
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": job.MODEL, "messages": job.messages(row), "max_tokens": job.MOST_TOKENS},
            }
            for row in part
        )
        batch.start()
        batch.save(storage)
        ids.append(batch.id)
    job.keep(ids)
else:
    rows = {row["row_key"]: row for row in job.rows()}
    joined = characters = 0
    for name in job.kept():
        batch = OpenAIChatCompletionBatch.load(name, storage)
        good, bad = batch.get_results()
        assert not bad
        for result in good:
            answer = result["choices"][0]["message"]["content"]
            rows[result["custom_id"]]["answer"] = answer
            joined += 1
            characters += len(answer)
    job.done(joined, characters)
