"""Derivatives of trees by the rules, without SymPy: what the step check compares a written derivative with."""

from __future__ import annotations

from domains.math.expressions import Tree, variables

ZERO, ONE, TWO = ("n", "0"), ("n", "1"), ("n", "2")


def derivative(tree: Tree, variable: str, known: dict[str, Tree] | None = None) -> Tree:
    """The derivative of a tree; `known` has those of names that stand for something else (an integral)."""
    if known and tree[0] == "v" and tree[1] in known:
        return known[tree[1]]
    if variable not in variables(tree) and not (known and variables(tree) & set(known)):
        return ZERO
    head = tree[0]
    if head == "v":
        return ONE
    if head == "neg":
        return ("neg", derivative(tree[1], variable, known))
    if head == "f":
        return ("*", _outer(tree[1], tree[2]), derivative(tree[2], variable, known))
    a, b = tree[1], tree[2]
    da, db = (derivative(part, variable, known) for part in (a, b))
    if head in "+-":
        return (head, da, db)
    if head == "*":
        return ("+", ("*", da, b), ("*", a, db))
    if head == "/":
        return ("/", ("-", ("*", da, b), ("*", a, db)), ("^", b, TWO))
    if db == ZERO:
        return ("*", ("*", b, ("^", a, ("-", b, ONE))), da)
    if a == ("v", "e"):
        return ("*", tree, db)
    return ("*", tree, ("+", ("*", db, ("f", "ln", a)), ("/", ("*", b, da), a)))


def _outer(function: str, inner: Tree) -> Tree:
    f = ("f", function, inner)
    rules = {
        "sqrt": ("/", ONE, ("*", TWO, f)),
        "sin": ("f", "cos", inner),
        "cos": ("neg", ("f", "sin", inner)),
        "tan": ("/", ONE, ("^", ("f", "cos", inner), TWO)),
        "ln": ("/", ONE, inner),
        "log": ("/", ONE, inner),
        "exp": f,
    }
    return rules[function]


def put_in(tree: Tree, name: str, value: Tree) -> Tree:
    """The tree with a value for a name."""
    if tree == ("v", name):
        return value
    return tuple(put_in(part, name, value) if isinstance(part, tuple) else part for part in tree)
