"""Bespoke Curator: an ``LLM`` with ``batch=True`` over a Hugging Face dataset, as its guide to batches shows
(https://docs.bespokelabs.ai/curator/batch): ``prompt`` makes the messages of a row, ``parse`` the row of the result.
One call does the whole job; ``bench.field`` parts it at the moment at which the last batch was accepted. 50,000
requests a batch, a look every second.
"""

import os

import job

os.environ["CURATOR_CACHE_DIR"] = os.environ["HF_HOME"] = str(job.FOLDER / "cache")  # before its import reads them

from bespokelabs import curator
from datasets import Dataset


class Asker(curator.LLM):
    def prompt(self, input: dict) -> list[dict]:
        return job.messages(input)

    def parse(self, input: dict, response: str) -> dict:
        return {"row_key": input["row_key"], "answer": response}


asker = Asker(
    model_name=job.MODEL,
    backend="openai",
    batch=True,
    generation_params={"max_tokens": job.MOST_TOKENS},
    backend_params={
        "base_url": os.environ["OPENAI_BASE_URL"],
        "batch_size": job.MOST_REQUESTS,
        "batch_check_interval": 1,
    },
)
made = asker(Dataset.from_json(job.JOB["rows"], cache_dir=str(job.FOLDER / "cache"))).dataset
job.done(len(made), sum(map(len, made["answer"])))
