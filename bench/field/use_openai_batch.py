"""openai-batch (Parasail): ``Batch.add_to_batch``, as its README shows. ``submit`` of 0.3.4 fails on every file that it
opened itself ("I/O operation on closed file"), so it is spared the upload; ``download`` fetches the results file and
stops there: reading and joining it is left to its user. So this is a part of the first half only.
"""

import os

import job
from openai_batch import Batch
from openai_batch.providers import Provider

host = Provider(name="host", base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
for number, part in enumerate(job.parts()):
    with Batch(submission_input_file=job.FOLDER / f"batch-{number}.jsonl", provider=host) as batch:
        for row in part:
            batch.add_to_batch(model=job.MODEL, messages=job.messages(row), max_tokens=job.MOST_TOKENS)
