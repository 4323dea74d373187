"""NLTK's word tokenizer (`NLTKWordTokenizer`), without the substitutions that cannot change the text at hand.

It makes 27 passes over every text, by an engine with a clock against hostile patterns; each needs a certain character, and most texts lack most
of them. The passes are NLTK's own, in its order, by the standard library's engine; here stands only what each needs, and words are kept. A text that is not ASCII, where case has exceptions, and an NLTK with other passes go to NLTK itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

END = "\n"
"""Stands for a period at the end of the text, closing marks aside."""
QUOTES = ("`", '"', "`", "'\"", "'")
PUNCTUATION = (END, ":,", ":,", ".", ";@#$%&", "", END, "?!", "'", "*")
BRACKETS, DASHES = "[](){}<>", "-"
ENDS = ("", "'", '"', "'", "'", "'")
"""The fourth makes white space one blank, which matters before an apostrophe alone."""
CONTRACTIONS = ("cannot", "'ye", "gimme", "gonna", "gotta", "lemme", "more'n", "wanna")
LATER_CONTRACTIONS = ("'t", "'t")
_ALL = frozenset("".join((*QUOTES, *PUNCTUATION, BRACKETS, DASHES, *ENDS))) - {END}
_CLOSING = "])}>\"' \t\n\r\f\v\x1c\x1d\x1e\x1f"
Pass = tuple[Any, str]
"""A pattern and its replacement."""


@lru_cache(8192)
def tokens(text: str) -> tuple[str, ...]:
    """The words of a text, as `word_tokenize(text, preserve_line=True)` cuts them."""
    if not _known() or not text.isascii():
        return tuple(_tokenizer().tokenize(text))
    body = text.rstrip(_CLOSING)
    if not body.endswith("."):
        body = text.rstrip()
    head, *last = body.rsplit(None, 1) or [""]
    if not last or '"' in text or "`" in text:
        return _cut(text, end=True)
    found = [word for chunk in head.split() for word in _inner(chunk)]
    return (*found, *_last(text[len(head) :]))


@lru_cache(2**17)
def _inner(chunk: str) -> tuple[str, ...]:
    """The words between two blanks: without a quotation mark, and before the end of the text, nothing around them matters."""
    return _cut(f"{chunk} ", end=False)


@lru_cache(2**15)
def _last(text: str) -> tuple[str, ...]:
    """The words from the blank before the final period, or before the last word, to the end."""
    return _cut(text, end=True)


def _cut(text: str, *, end: bool) -> tuple[str, ...]:
    found = _ALL.intersection(text)
    if end and text.rstrip(_CLOSING).endswith("."):
        found |= {END}
    before, after = _passes(found)
    for pattern, replacement in before:
        text = pattern.sub(replacement, text)
    text = f" {text} "
    for pattern, replacement in after:
        text = pattern.sub(replacement, text)
    low = text.lower()
    for need, pattern in _contractions():
        if need in low:
            text = pattern.sub(r" \1 \2 ", text)
    return tuple(text.split())


@cache
def _passes(found: frozenset[str]) -> tuple[list[Pass], list[Pass]]:
    """The passes that a text with these marks needs: before it is padded with blanks, and after."""
    if '"' in found:
        found |= {"`", "'"}  # what the first passes make of it
    nltk = _tokenizer()
    before = zip(
        (*QUOTES, *PUNCTUATION, BRACKETS, DASHES),
        (*nltk.STARTING_QUOTES, *nltk.PUNCTUATION, nltk.PARENS_BRACKETS, nltk.DOUBLE_DASHES),
        strict=True,
    )
    after = zip(ENDS, nltk.ENDING_QUOTES, strict=True)
    return _compiled(before, found), _compiled(after, found)


def _compiled(passes: Iterable[tuple[str, Any]], found: frozenset[str]) -> list[Pass]:
    return [(re.compile(one.pattern), by) for needs, (one, by) in passes if not found.isdisjoint(needs)]


@cache
def _contractions() -> list[tuple[str, Any]]:
    nltk = _tokenizer()
    needs: Sequence[str] = (*CONTRACTIONS, *LATER_CONTRACTIONS)
    return list(zip(needs, (*nltk.CONTRACTIONS2, *nltk.CONTRACTIONS3), strict=True))


@cache
def _known() -> bool:
    """Whether this NLTK makes the passes that are described here."""
    nltk = _tokenizer()
    ours = (QUOTES, PUNCTUATION, ENDS, CONTRACTIONS, LATER_CONTRACTIONS)
    theirs = (nltk.STARTING_QUOTES, nltk.PUNCTUATION, nltk.ENDING_QUOTES, nltk.CONTRACTIONS2, nltk.CONTRACTIONS3)
    return [len(one) for one in ours] == [len(one) for one in theirs]


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()
