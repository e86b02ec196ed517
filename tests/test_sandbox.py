"""A prompt of somebody else's: it ends, it stays small, and it reaches nothing but its row and its parameters."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.errors import InputError
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests import sandbox
from chimera_batch.requests.template import parse

BIG = "x" * 1000


def text_of(body: str, row: Mapping[str, object] | None = None, params: Mapping[str, Any] | None = None) -> str:
    """What a one-message prompt says."""
    (message,) = parse(Source("p", Path("p.md"), body), params or {})
    row = {"v": "a value", **(row or {})}
    return message.texts(list(row), [tuple(row.values())])[0]


ENDLESS = {
    "loops in loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "a filtered loop": "{% for a in range(9999) %}{% for b in range(9999) if b < 0 %}{% endfor %}{% endfor %}",
    "a recursive loop": "{% for a in [1, 2] recursive %}{% if loop.depth < 50 %}{{ loop([1, 2]) }}{% endif %}"
    "{% endfor %}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "a macro without an end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "filters over ranges": "{% for a in range(9999) %}{{ range(99999) | map('string') | list | length }}{% endfor %}",
    "tests over ranges": "{% for a in range(9999) %}{{ range(99999) | select('odd') | list | length }}{% endfor %}",
}

HUGE = {
    "power": "{{ 10 ** (10 ** 10) }}",
    "power of what is not constant": "{{ (v | length) ** 99999999 }}",
    "product of numbers": "{% set n = namespace(x=7) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "text times": "{{ 'x' * 1000000000 }}",
    "times text": "{{ 1000000000 * v }}",
    "list times": "{{ ([1] * 1000000000) | length }}",
    "text doubled by +": "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "text doubled by ~": "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a block doubled": "{% set n = namespace(x='xx') %}{% for i in range(60) %}"
    "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}",
    "list doubled": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "a list that holds itself twice": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}"
    "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
    "a dict that holds itself twice": "{% set n = namespace(x={}) %}{% for i in range(60) %}"
    "{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | string }}",
    "dict() that holds itself twice": "{% set n = namespace(x={}) %}{% for i in range(60) %}"
    "{% set n.x = dict(a=n.x, b=n.x) %}{% endfor %}{{ n.x | string }}",
    "center": "{{ v | center(1000000000) }}",
    "ljust": "{{ v.ljust(1000000000) }}",
    "zfill": "{{ v.zfill(1000000000) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent with a star": "{{ '%*d' % (1000000000, 1) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "format method": "{{ '{:>1000000000}'.format(1) }}",
    "format within format": "{{ '{:{}}'.format(1, '1000000000') }}",
    "replace": "{{ (v * 100000).replace('a', v * 100000) }}",
    "replace filter": "{{ (v * 100000) | replace('a', v * 100000) }}",
    "join": "{{ ([v * 100000] * 100000) | join }}",
    "join method": "{{ (v * 100000).join(range(100000) | list) }}",
    "join of what comes bit by bit": "{{ ([v * 100000] * 100000) | select | join }}",
    "indent": "{{ ('\\n' * 100000) | indent(100000) }}",
    "tojson": "{{ range(100000) | list | tojson(indent=100000) }}",
    "expandtabs": "{{ ('\\t' * 100000).expandtabs(100000) }}",
    "sum of lists": "{{ ([[1] * 1000] * 100000) | sum(start=[]) | length }}",
    "text in a loop": "{% for i in range(99999) %}" + BIG * 2 + "{% endfor %}",
    "a value in a loop": "{% set y = v * 10000 %}{% for i in range(99999) %}{{ y }}{% endfor %}",
    "map over texts": "{{ range(99999) | map('center', 99999) | list | length }}",
    "a number of many digits": "{{ " + "9" * 5000 + " }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("body", [*ENDLESS.values(), *HUGE.values()], ids=[*ENDLESS, *HUGE])
def test_a_prompt_that_would_take_the_process_along_is_refused(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "STEPS", 20_000)  # a fiftieth, for the test's sake
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(InputError) as caught:
        text_of(body)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert (caught.value.where or "").startswith("p.md:1")
    assert after.ru_utime - before.ru_utime < 5, "it ended, but late"
    assert after.ru_maxrss - before.ru_maxrss < 600_000, "it ended, but large"  # kilobytes


@pytest.mark.parametrize(
    "body",
    [
        "{{ v.__class__ }}",
        "{{ v | attr('__class__') }}",
        "{{ [v] | map(attribute='__class__') | first }}",
        "{{ v['__class__'] }}",
        "{{ ''.join.__self__.__class__ }}",
        "{{ '{0.__class__}'.format(v) }}",
        "{{ (v | attr('format')).__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
        "{{ range.__call__.__self__ }}",
        "{{ lipsum() }}",
        "{{ cycler('a').next() }}",
        "{{ joiner() }}",
        "{% for a in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ params.__class__.__mro__ }}",
        "{{ params.update({'a': 1}) }}",
        "{% set x = params.deep.append(1) %}{{ x }}",
    ],
)
def test_a_prompt_reaches_nothing_but_its_row_and_parameters(body: str) -> None:
    params = {"deep": [1]}
    with pytest.raises(InputError):
        text_of(body, params=params)
    assert params == {"deep": [1]}


@pytest.mark.parametrize(
    "body", ["{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{% for a in [1] %}" * 30 + "{% endfor %}" * 30]
)
def test_a_prompt_too_deep_for_python_is_an_error_with_its_line(body: str) -> None:
    with pytest.raises(InputError) as caught:
        text_of("a line\n" + body)
    assert (caught.value.where or "").startswith("p.md:")


def test_a_long_honest_prompt_is_far_from_its_end() -> None:
    rows = [{"name": f"n{n}", "text": "y" * 500, "tags": ["a", "b"]} for n in range(1000)]
    body = (
        "{% for row in rows %}{{ loop.index }}/{{ loop.length }} {{ row.name | upper ~ '!' }}: {{ row.text }}"
        "{% if not loop.last %}, {% endif %}{{ row.tags | join(' ') }} {{ '%05d' % loop.index }}{% endfor %}"
    )
    text = text_of(body, {"rows": rows})
    assert text.startswith("1/1000 N0!: " + "y" * 500 + ", a b 00001")
    assert text.endswith("a b 01000")
    assert text_of("{{ '{:>10}'.format(v) }}{{ v.replace('a', 'b') }}", {"v": "abc"}) == "       abcbbc"


def test_every_message_has_its_own_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows do not use up one another's steps."""
    monkeypatch.setattr(sandbox, "STEPS", 1000)
    (message,) = parse(Source("p", Path("p.md"), "{% for i in range(900) %}{% endfor %}{{ v }}"), {})
    assert message.texts(["v"], [("a",)] * 15) == ["a"] * 15


def test_what_is_counted_costs_little() -> None:
    (message,) = parse(
        Source("p", Path("p.md"), "{% if v %}{% for i in range(10) %}{{ v }}{% endfor %}{% endif %}"), {}
    )
    began = time.process_time()
    message.texts(["v"], [("a",)] * 2000)
    assert time.process_time() - began < 2, "a thousandth of a second for each is a hundred times what it takes"
