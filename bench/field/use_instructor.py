"""instructor: ``BatchProcessor``, the documented way to batches (https://python.useinstructor.com/concepts/batch/).

``create_batch_from_messages`` to a file, ``submit_batch``, ``retrieve_results``. It asks for structured answers only,
so every request carries the schema of the answer. Its ids are ``request-0…``; the join with the rows is ours to write.
"""

import itertools

import job
from instructor.batch import BatchProcessor, BatchSuccess
from pydantic import BaseModel


class Answer(BaseModel):
    summary: str
    label: str
    confidence: float


processor = BatchProcessor(f"openai/{job.MODEL}", Answer)
if job.HALF == "package":
    ids = []
    for number, part in enumerate(job.parts()):
        path = processor.create_batch_from_messages(
            [job.messages(row) for row in part],
            file_path=str(job.FOLDER / f"batch-{number}.jsonl"),
            max_tokens=job.MOST_TOKENS,
            temperature=None,
        )
        ids.append(processor.submit_batch(path))
    job.keep(ids)
else:
    joined = characters = 0
    for batch, part in itertools.zip_longest(job.kept(), job.parts()):
        for result in processor.retrieve_results(batch):
            assert isinstance(result, BatchSuccess), result
            row = part[int(result.custom_id.removeprefix("request-"))]
            row["answer"] = result.result
            joined += 1
            characters += len(result.result.summary)
    job.done(joined, characters)
