"""The longest run of words that two texts have in common: what a person looks at to judge a match."""

from __future__ import annotations

from chimera_batch.functions.text_key import text_key


def shared_passage(one: str, other: str) -> str:
    """In the normal form of ``text_key``; empty where no word is shared. Of equally long ones ``other``'s first.

    Takes time in proportion to both lengths, whatever the texts: ``one`` becomes a suffix automaton (Blumer et al.,
    1985) over its words, and ``other`` is read through it once.
    """
    steps, links, lengths = _automaton(text_key(one).split())
    words = text_key(other).split()
    state = length = best = end = 0
    for place, word in enumerate(words, 1):
        while state and word not in steps[state]:
            state = links[state]
            length = lengths[state]
        if word in steps[state]:
            state, length = steps[state][word], length + 1
        if length > best:
            best, end = length, place
    return " ".join(words[end - best : end])


def _automaton(words: list[str]) -> tuple[list[dict[str, int]], list[int], list[int]]:
    """Of every state: where each word leads, its suffix link (the root's is -1), the length of its longest run."""
    steps, links, lengths, last = [dict[str, int]()], [-1], [0], 0
    for word in words:
        steps.append({})
        lengths.append(lengths[last] + 1)
        links.append(0)
        new, state = len(steps) - 1, last
        while state >= 0 and word not in steps[state]:
            steps[state][word] = new
            state = links[state]
        if state >= 0:
            links[new] = _target(word, state, (steps, links, lengths))
        last = new
    return steps, links, lengths


def _target(word: str, state: int, automaton: tuple[list[dict[str, int]], list[int], list[int]]) -> int:
    """The state behind ``word``, split off where longer runs lead there too."""
    steps, links, lengths = automaton
    found = steps[state][word]
    if lengths[found] == lengths[state] + 1:
        return found
    steps.append(dict(steps[found]))
    lengths.append(lengths[state] + 1)
    links.append(links[found])
    copy = links[found] = len(steps) - 1
    while state >= 0 and steps[state].get(word) == found:
        steps[state][word] = copy
        state = links[state]
    return copy
