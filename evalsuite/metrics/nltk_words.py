"""NLTK's word tokenizer (`NLTKWordTokenizer`), without the substitutions that cannot change the text at hand.

It makes 27 passes over every text; each needs a certain character, and most texts lack most of them. The passes are NLTK's own, in its order;
here stands only what each needs. A text that is not ASCII, where case has exceptions, and an NLTK with other passes go to NLTK itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

_STARTING = ("`", '"', "``", ("'", '"'), "'")
_PUNCTUATION = (".", (":", ","), (":", ","), "..", tuple(";@#$%&"), (), ".", ("?", "!"), "'", "*")
_BRACKETS = tuple("[](){}<>")
_ENDING = ((), "''", '"', ("'", '"'), "'", "'")
"""The fourth makes white space one blank, which the last two alone look at."""
_CONTRACTIONS = ("cannot", "'ye", "gimme", "gonna", "gotta", "lemme", "more'n", "wanna")
_LATER_CONTRACTIONS = ("'t", "'t")


@lru_cache(8192)
def tokens(text: str) -> tuple[str, ...]:
    """The words of a text, as `word_tokenize(text, preserve_line=True)` cuts them."""
    tokenizer, passes = _passes()
    if passes is None or not text.isascii():
        return tuple(tokenizer.tokenize(text))
    quotes, ends, contractions = passes
    for needs, pattern, replacement in quotes:
        if any(need in text for need in needs):
            text = pattern.sub(replacement, text)
    text = f" {text} "
    for needs, pattern, replacement in ends:
        if any(need in text for need in needs):
            text = pattern.sub(replacement, text)
    low = text.lower()
    for needs, pattern, replacement in contractions:
        if any(need in low for need in needs):
            text = pattern.sub(replacement, text)
    return tuple(text.split())


Pass = tuple[tuple[str, ...], Any, str]
"""Strings of which the text must hold one, the pattern, its replacement."""


@cache
def _passes() -> tuple[Any, tuple[list[Pass], list[Pass], list[Pass]] | None]:
    """NLTK's tokenizer and its passes: before the text is padded with blanks, after it, and contractions; None where they are not these."""
    from nltk.tokenize import NLTKWordTokenizer as Nltk

    known = (
        (_STARTING, Nltk.STARTING_QUOTES),
        (_PUNCTUATION, Nltk.PUNCTUATION),
        (_ENDING, Nltk.ENDING_QUOTES),
        (_CONTRACTIONS, Nltk.CONTRACTIONS2),
        (_LATER_CONTRACTIONS, Nltk.CONTRACTIONS3),
    )
    if any(len(needs) != len(passes) for needs, passes in known):
        return Nltk(), None
    brackets, dashes = [Nltk.PARENS_BRACKETS], [Nltk.DOUBLE_DASHES]
    before = [
        *_with(_STARTING, Nltk.STARTING_QUOTES),
        *_with(_PUNCTUATION, Nltk.PUNCTUATION),
        *_with([_BRACKETS], brackets),
        *_with(["--"], dashes),
    ]
    shortened = [(pattern, r" \1 \2 ") for pattern in (*Nltk.CONTRACTIONS2, *Nltk.CONTRACTIONS3)]
    return Nltk(), (
        before,
        _with(_ENDING, Nltk.ENDING_QUOTES),
        _with((*_CONTRACTIONS, *_LATER_CONTRACTIONS), shortened),
    )


def _with(needs: Sequence[str | tuple[str, ...]], passes: Sequence[tuple[Any, str]]) -> list[Pass]:
    return [
        ((need,) if isinstance(need, str) else need, pattern, replacement)
        for need, (pattern, replacement) in zip(needs, passes, strict=True)
    ]
