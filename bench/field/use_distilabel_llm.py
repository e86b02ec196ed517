"""distilabel: ``OpenAILLM(use_offline_batch_generation=True)``, on its own as its reference shows, which spares it the
processes of a ``Pipeline``. First call: the batches are made and it says "not finished"; second call, with the ids of
the first: the answers, in the order of the inputs, so the join is a zip. It cuts files by size alone, so it is given at
most 50,000 inputs at a time.
"""

import job
from distilabel.exceptions import DistilabelOfflineBatchGenerationNotFinishedException
from distilabel.models import OpenAILLM


def llm(jobs: list[str] | None = None) -> OpenAILLM:
    made = OpenAILLM(
        model=job.MODEL,
        use_offline_batch_generation=True,
        jobs_ids=tuple(jobs) if jobs else None,
        generation_kwargs={"max_new_tokens": job.MOST_TOKENS},
    )
    made.load()
    return made


if job.HALF == "package":
    ids = []
    for part in job.parts():
        try:
            llm().generate_outputs(inputs=[job.messages(row) for row in part], max_new_tokens=job.MOST_TOKENS)
        except DistilabelOfflineBatchGenerationNotFinishedException as made:
            ids.append(made.jobs_ids)
    job.keep(ids)
else:
    joined = characters = 0
    for jobs, part in zip(job.kept(), job.parts(), strict=True):
        outputs = llm(jobs).generate_outputs(inputs=[], max_new_tokens=job.MOST_TOKENS)
        for row, output in zip(part, outputs, strict=True):
            row["answer"] = output["generations"][0]
            joined += 1
            characters += len(row["answer"])
    job.done(joined, characters)
