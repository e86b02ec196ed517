"""batchata: ``Batch(…).set_default_params(…).add_job(messages=…)`` for each row, ``run``, ``results`` (its README). One
call does the whole job; ``bench.field`` parts it at the moment at which the last batch was accepted. Its ids are its
own and its results name them, in the order in which the jobs were added as far as they are complete.
"""

import job
from batchata import Batch

batch = Batch(str(job.FOLDER / "results"), max_parallel_batches=2, items_per_batch=job.MOST_REQUESTS, raw_files=False)
batch.set_default_params(model=job.MODEL, max_tokens=job.MOST_TOKENS).set_verbosity("error")
rows = {}
for row in job.rows():
    batch.add_job(messages=job.messages(row))
    rows[batch.jobs[-1].id] = row
run = batch.run()
joined = characters = 0
for result in run.results()["completed"]:
    rows[result.job_id]["answer"] = result.raw_response
    joined += 1
    characters += len(result.raw_response)
job.done(joined, characters)
