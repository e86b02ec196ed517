"""langasync: ``batch_chain`` around a LangChain chain, ``submit`` with the rows as inputs, and later
``BatchJobService.get`` and ``get_results`` (https://github.com/langasync/langasync). It answers in the order of the
inputs: the join is a zip.
"""

import asyncio
import os
from pathlib import Path

import job

os.environ["LANGASYNC_BASE_STORAGE_PATH"] = str(job.FOLDER / "jobs")

from langasync import batch_chain
from langasync.core.batch_service import BatchJobService
from langasync.settings import LangasyncSettings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

settings = LangasyncSettings(base_storage_path=str(job.FOLDER / "jobs"))


async def package() -> None:
    prompt = ChatPromptTemplate.from_messages([("system", job.JOB["system"]), ("user", job.JOB["user"])])
    chain = prompt | ChatOpenAI(model=job.MODEL, max_tokens=job.MOST_TOKENS) | StrOutputParser()
    wrapped = batch_chain(chain, settings)
    job.keep([(await wrapped.submit(part)).job_id for part in job.parts()])


async def collect() -> None:
    service = BatchJobService(settings)
    joined = characters = 0
    for name, part in zip(job.kept(), job.parts(), strict=True):
        found = await (await service.get(name)).get_results()
        for row, answer in zip(part, found.results, strict=True):
            row["answer"] = answer
            joined += 1
            characters += len(answer)
    job.done(joined, characters)


Path(job.FOLDER / "jobs").mkdir(exist_ok=True)
asyncio.run(package() if job.HALF == "package" else collect())
