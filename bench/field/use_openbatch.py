"""openbatch: ``BatchJobManager.add_templated_instances``, which its README recommends "for programmatically generating
large batches from templates". It writes files and knows no host: uploading and everything after it is left to its user,
so this is a part of the first half only.
"""

import job
from openbatch import BatchJobManager, ChatCompletionsRequest, Message, PromptTemplate, PromptTemplateInputInstance

prompt = PromptTemplate(
    messages=[Message(role="system", content=job.JOB["system"]), Message(role="user", content=job.JOB["user"])]
)
common = ChatCompletionsRequest(model=job.MODEL, max_completion_tokens=job.MOST_TOKENS)
manager = BatchJobManager()
for number, part in enumerate(job.parts()):
    manager.add_templated_instances(
        prompt=prompt,
        common_request=common,
        input_instances=(PromptTemplateInputInstance(id=row["row_key"], prompt_value_mapping=row) for row in part),
        save_file_path=job.FOLDER / f"batch-{number}.jsonl",
    )
