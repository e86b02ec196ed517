"""distilabel: a ``Pipeline`` of a loader and a ``TextGeneration`` whose ``OpenAILLM`` generates in offline batches, as
its guide to them shows (https://distilabel.argilla.io/latest/sections/how_to_guides/advanced/offline_batch_generation/):
run it once to submit, and again, from its cache, for the answers, which it writes beside the columns of the rows. It
sends all of a pipeline's rows at once and cuts its files by size alone, so each pipeline gets a file of 50,000 rows.
See ``use_distilabel_llm`` for the LLM alone.
"""

import itertools
import os
from pathlib import Path

import job

os.environ["HF_DATASETS_CACHE"] = str(job.FOLDER / "datasets")

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromFileSystem
from distilabel.steps.tasks import TextGeneration


def files() -> list[tuple[str, int]]:
    """The rows in files of as many as one batch may hold, and how many they are."""
    made = []
    with Path(job.JOB["rows"]).open("rb") as lines:
        while part := list(itertools.islice(lines, job.MOST_REQUESTS)):
            path = job.FOLDER / f"part-{len(made)}.jsonl"
            path.write_bytes(b"".join(part))
            made.append((str(path), len(part)))
    return made


def pipeline(number: int, path: str, rows: int) -> Pipeline:
    with Pipeline(name=f"field-{number}", cache_dir=str(job.FOLDER / "pipelines")) as made:
        loader = LoadDataFromFileSystem(
            data_files=path,
            filetype="json",
            split="train",
            batch_size=10_000,
            num_examples=rows,  # without it the second run does not find the cache of the first
        )
        answered = TextGeneration(
            name="answered",
            llm=OpenAILLM(
                model=job.MODEL,
                use_offline_batch_generation=True,
                generation_kwargs={"max_new_tokens": job.MOST_TOKENS},
            ),
            system_prompt=job.JOB["system"],
            template=job.JOB["user"].replace("{", "{{ ").replace("}", " }}"),
            columns=["audience", "source", "passage"],
            add_raw_input=False,
            add_raw_output=False,
        )
        loader >> answered
    return made


if __name__ == "__main__":
    joined = characters = 0
    for number, (path, size) in enumerate(files()):
        made = pipeline(number, path, size).run()
        if job.HALF == "collect":
            rows = made["default"]["train"]
            joined += len(rows)
            characters += sum(map(len, rows["generation"]))
    job.done(joined, characters)
