"""The ASP domain: a bank that is right, data that does not leak, a check that tells programs apart by their answer sets."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.asp import llasp
from domains.asp.augment import AUGMENTATIONS, paraphrase, rename
from domains.asp.augment.noise import noisy
from domains.asp.augment.repair import BREAKS
from domains.asp.build import build
from domains.asp.extract import program_of
from domains.asp.problems import Problem, problems
from domains.asp.program import rule_texts, statements
from domains.asp.repair import FEEDBACK, repair, repair_all, summary
from domains.asp.solving import answers
from domains.base import Example
from domains.contamination import findings
from domains.endpoint import Endpoint
from truemark.errors import InvalidData, UnknownName

asp = get("asp")
BANK = {problem.id: problem for problem in problems()}
TOPICS = sorted({problem.topic for problem in problems()})


def example(name: str, **more: Any) -> Example:
    """The evaluation of one problem as a whole program."""
    problem = BANK[name]
    meta = {"instances": problem.facts, "show": problem.show, **more}
    messages = [*asp.messages(problem.text), {"role": "assistant", "content": problem.program}]
    return {"id": name, "messages": messages, "reference": problem.program, "meta": meta}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return asp.build(7, 300)


# the bank


def test_the_bank_is_as_large_and_as_wide_as_it_says() -> None:
    families = {problem.family: problem.split for problem in problems()}
    assert len(problems()) >= 66 and len(families) >= 20
    assert 2 * sum(split == "test" for split in families.values()) == len(families)
    assert set(families.values()) == {"train", "dev", "test"} and len(TOPICS) == 7
    for field in ("id", "title", "text", "program"):
        assert len({getattr(problem, field) for problem in problems()}) == len(problems()), field
    kinds = {kind for problem in problems() for kind in _constructs(problem.program)}
    wanted = {
        "choice",
        "constraint",
        "aggregate",
        "negation",
        "recursion",
        "disjunction",
        "optimisation",
        "conditional",
    }
    assert wanted <= kinds
    for split in ("train", "test"):
        mine = {kind for problem in problems() if problem.split == split for kind in _constructs(problem.program)}
        assert wanted - {"conditional"} <= mine, split


def _constructs(program: str) -> Iterator[str]:
    heads: set[str] = set()
    for tree in statements(program):
        text, kind = str(tree), tree.ast_type.name
        if kind == "Minimize":
            yield "optimisation"
            continue
        head = tree.head.ast_type.name
        heads.add(str(tree.head).partition("(")[0])
        yield from [{"Aggregate": "choice", "Disjunction": "disjunction"}.get(head, "rule")]
        if str(tree.head) == "#false":
            yield "constraint"
        for literal in tree.body:
            inner = literal.ast_type.name
            if inner == "ConditionalLiteral":
                yield "conditional"
            elif literal.atom.ast_type.name in ("BodyAggregate", "Aggregate"):
                yield "aggregate"
            elif literal.sign:
                yield "negation"
            elif str(literal).partition("(")[0] == str(tree.head).partition("(")[0]:
                yield "recursion"
        assert text


@pytest.mark.parametrize("problem", problems(), ids=lambda problem: problem.id)
def test_the_expected_answer_sets_are_clingos(problem: Problem) -> None:
    assert len(problem.instances) >= 3 and len(set(problem.facts)) == len(problem.facts)
    assert any(problem.instances[0].answers), "the repair loop runs the first instance: it has an answer with atoms"
    assert rule_texts(problem.program) == [rule.rule for rule in problem.rules]
    for instance in problem.instances:
        found = answers(problem.program, instance.facts, problem.show)
        assert found["stopped"] is None
        complaints = [
            line for line in found["message"].split("\n") if line.startswith("<") and "does not occur" not in line
        ]
        assert complaints == []
        assert sorted(map(tuple, found["sets"])) == sorted(instance.answers) and len(instance.answers) <= 50
        assert (found["cost"] or None) == (list(instance.cost) if instance.cost else None)


def facts_of(text: str) -> dict[str, set[tuple[Any, ...]]]:
    """The facts of an instance as Python values."""
    import clingo

    control = clingo.Control(logger=lambda code, message: None)
    control.add("base", [], text)
    control.ground([("base", [])])
    found: dict[str, set[tuple[Any, ...]]] = {}
    for atom in control.symbolic_atoms:
        values = tuple(
            one.number if one.type == clingo.SymbolType.Number else one.name for one in atom.symbol.arguments
        )
        found.setdefault(atom.symbol.name, set()).add(values)
    return found


def subsets(things: list[Any]) -> Iterator[tuple[Any, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(things, size) for size in range(len(things) + 1))


def ones(facts: dict[str, set[tuple[Any, ...]]], name: str) -> list[Any]:
    return sorted((row[0] for row in facts.get(name, ())), key=str)


def atoms(name: str, rows: Any) -> tuple[str, ...]:
    return tuple(sorted(f"{name}({','.join(map(str, row if isinstance(row, tuple) else (row,)))})" for row in rows))


def best(scored: list[tuple[Any, tuple[str, ...]]]) -> list[tuple[str, ...]]:
    least = min((score for score, _ in scored), default=None)
    return [one for score, one in scored if score == least]


def maps(f: dict[str, Any], keys: str, values: str, name: str, allowed: Callable[[dict[Any, Any]], bool]) -> list[tuple[str, ...]]:  # fmt: skip
    left, right = ones(f, keys), ones(f, values)
    chosen = (dict(zip(left, row, strict=True)) for row in itertools.product(right, repeat=len(left)))
    return [atoms(name, one.items()) for one in chosen if allowed(one)]


def _guards(f: dict[str, Any]) -> list[tuple[str, ...]]:
    (limit,) = next(iter(f["limit"]))
    chosen = (set(one) for one in subsets(ones(f, "node")) if len(one) <= limit)
    return [atoms("guard", one) for one in chosen if all(a in one or b in one for a, b in f["edge"])]


def _strangers(f: dict[str, Any]) -> list[tuple[str, ...]]:
    chosen = [one for one in subsets(ones(f, "guest")) if not any({a, b} <= set(one) for a, b in f["knows"])]
    return best([(-len(one), atoms("invited", one)) for one in chosen])


def _knapsack(f: dict[str, Any]) -> list[tuple[str, ...]]:
    size, worth, ((room,),) = dict(f["size"]), dict(f["worth"]), f["room"]
    chosen = [one for one in subsets(ones(f, "thing")) if sum(size[i] for i in one) <= room]
    return best([(-sum(worth[i] for i in one), atoms("take", one)) for one in chosen])


def _queens(f: dict[str, Any]) -> list[tuple[str, ...]]:
    def peaceful(rows: dict[int, int]) -> bool:
        return all(c != d and abs(a - b) != abs(c - d) for (a, c), (b, d) in itertools.combinations(rows.items(), 2))

    return maps(f, "row", "col", "queen", peaceful)


def _tours(f: dict[str, Any]) -> list[tuple[str, ...]]:
    towns = ones(f, "town")
    trips = [(towns[0], *rest) for rest in itertools.permutations(towns[1:])]
    legs = [list(zip(trip, (*trip[1:], trip[0]), strict=True)) for trip in trips]
    return [atoms("next", one) for one in legs if set(one) <= f["road"]]


def _stable(f: dict[str, Any]) -> list[tuple[str, ...]]:
    found = []
    for one in subsets(ones(f, "arg")):
        beaten = {b for a, b in f["attacks"] if a in one}
        if beaten == set(ones(f, "arg")) - set(one):
            found.append(atoms("yes", one))
    return found


def _maximal(f: dict[str, Any]) -> list[tuple[str, ...]]:
    found = []
    for one in subsets(sorted(f["edge"])):
        ends = [end for edge in one for end in edge]
        if len(ends) == len(set(ends)) and all(a in ends or b in ends for a, b in f["edge"]):
            found.append(atoms("take", one))
    return found


def _hitting(f: dict[str, Any]) -> list[tuple[str, ...]]:
    causes = {s: {x for x, t in f["causes"] if t == s} for s in ones(f, "symptom")}
    hits = [set(one) for one in subsets(sorted({x for x, _ in f["causes"]}, key=str)) if all(set(one) & some for some in causes.values())]  # fmt: skip
    least = [one for one in hits if not any(other < one for other in hits)]
    critical, cleared = set(ones(f, "critical")), set(ones(f, "tested"))
    return [tuple(sorted((*(("alarm",) if one & critical else ()), *atoms("faulty", one)))) for one in least if not one & cleared]  # fmt: skip


def _coins(f: dict[str, Any]) -> list[tuple[str, ...]]:
    worth, ((target,),) = dict(f["coin"]), f["target"]
    return [atoms("pick", one) for one in subsets(sorted(worth, key=str)) if sum(worth[i] for i in one) == target]


def _colours(f: dict[str, Any]) -> list[tuple[str, ...]]:
    return maps(f, "node", "colour", "assign", lambda c: all(c[a] != c[b] for a, b in f["edge"]))


def _jobs(f: dict[str, Any]) -> list[tuple[str, ...]]:
    people, cost = ones(f, "person"), {(p, j): c for p, j, c in f["cost"]}
    plans = [list(zip(people, jobs, strict=True)) for jobs in itertools.permutations(ones(f, "job"), len(people))]
    return best([(sum(cost[pair] for pair in plan), atoms("does", plan)) for plan in plans])


def _kernel(f: dict[str, Any]) -> list[tuple[str, ...]]:
    vertices = ones(f, "vertex")
    free = [one for one in subsets(vertices) if not any(x in one and y in one for x, y in f["arc"])]
    return [atoms("core", one) for one in free if all(v in one or any((v, y) in f["arc"] for y in one) for v in vertices)]  # fmt: skip


BY_HAND = {
    "colouring-map": _colours, "cover-guards": _guards, "cover-strangers": _strangers, "knapsack": _knapsack, "queens": _queens,
    "tour-all": _tours, "stable-arguments": _stable, "matching-maximal": _maximal, "faults": _hitting, "sum-target": _coins,
    "assign-jobs": _jobs, "kernel": _kernel,
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_enumeration_in_python_finds_the_same_answer_sets(name: str) -> None:
    for instance in BANK[name].instances:
        assert sorted(BY_HAND[name](facts_of(instance.facts))) == sorted(instance.answers), instance.facts


EQUIVALENT = {
    "near(R,C,S,D) :- cell(R,C), cell(S,D), |R-S| <= 1, |C-D| <= 1.",
    "done(M) :- M = #max { T : run(_,T) }.",
    "peak(M) :- M = #max { K : load(_,K) }.",
}
"""Mutants that mean what the rule means in its program: what they leave out is said by other rules."""


def mutants(rule: str) -> Iterator[str]:
    """The rule without one literal of its body, and with one of its atoms negated or no more so."""
    trees = statements(rule)
    body = list(trees[0].body)
    spans = [(literal.location.begin.column - 1, literal.location.end.column - 1) for literal in body]
    if trees[0].ast_type.name != "Rule":
        return
    for place, (begin, end) in enumerate(spans):
        if len(body) > 1:
            start, stop = (begin, spans[place + 1][0]) if place + 1 < len(body) else (spans[place - 1][1], end)
            yield rule[:start] + rule[stop:]
        if body[place].ast_type.name == "Literal" and body[place].atom.ast_type.name == "SymbolicAtom":
            atom = rule[begin:end]
            yield rule[:begin] + (atom[4:] if atom.startswith("not ") else f"not {atom}") + rule[end:]


def test_the_instances_tell_wrong_rules_from_right_ones() -> None:
    """A rule with a literal gone or turned round gives other answer sets on some instance, or is no program. (The jugs alone would take as long as all others.)"""
    survived = set()
    for problem in (problem for problem in problems() if problem.split == "test" and problem.id != "crossing-jugs"):
        for rule in problem.rules:
            for mutant in mutants(rule.rule):
                program = problem.program.replace(rule.rule, mutant)
                if all(_as_expected(program, problem, instance) for instance in problem.instances):
                    survived.add(mutant)
    assert survived == EQUIVALENT


def _as_expected(program: str, problem: Problem, instance: Any) -> bool:
    found = answers(program, instance.facts, problem.show)
    same = found["stopped"] is None and sorted(map(tuple, found["sets"])) == sorted(instance.answers)
    return bool(same and (found["cost"] or []) == list(instance.cost or ()))


# the data


def test_every_reference_passes_its_own_check(splits: dict[str, list[Example]]) -> None:
    for one in itertools.chain(*splits.values()):
        assert one["messages"][-1]["content"] == one["reference"]
        verdict = asp.check(one["reference"], one)
        assert verdict.passed, (one["id"], verdict)
        detail = verdict.detail
        assert detail["syntax"] and detail["safe"] and detail["satisfiable"] and all(detail["equivalent"])


def test_no_rule_of_the_evaluation_is_idle(splits: dict[str, list[Example]]) -> None:
    """Without the rule that is asked for, the other rules do not pass: an empty phrase wins nothing."""
    for one in splits["dev"] + splits["test"]:
        assert not asp.check("nothing_at_all.", one).passed, one["id"]


def test_the_splits_share_no_family_and_no_words(splits: dict[str, list[Example]]) -> None:
    families = {split: {one["meta"]["family"] for one in rows} for split, rows in splits.items()}
    assert not (
        families["train"] & families["test"]
        or families["train"] & families["dev"]
        or families["dev"] & families["test"]
    )
    assert list(findings(splits)) == []
    assert {one["meta"]["slice"] for one in splits["test"]} == set(asp.SLICES)
    says = {split: {rule.say for problem in problems() if problem.split == split for rule in problem.rules} for split in ("train", "dev", "test")}  # fmt: skip
    assert not (says["train"] & says["test"] or says["train"] & says["dev"])


def test_the_same_seed_gives_the_same_bytes(splits: dict[str, list[Example]]) -> None:
    assert json.dumps(asp.build(7, 300)) == json.dumps(splits)
    other = asp.build(8, 50)
    assert (other["dev"], other["test"]) == (splits["dev"], splits["test"])
    assert [one["messages"] for one in other["train"]] != [one["messages"] for one in splits["train"][:50]]
    with pytest.raises(UnknownName):
        asp.build(7, 10, ["hard"])


def test_hidden_instances_stay_hidden(splits: dict[str, list[Example]]) -> None:
    for one in itertools.chain(*splits.values()):
        lines = "\n".join(message["content"] for message in one["messages"]).split("\n")
        shown, *hidden = (f"Example facts: {facts}" for facts in one["meta"]["instances"])
        assert shown in lines and not set(hidden) & set(lines)


# augmentations


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_can_be_alone(name: str) -> None:
    rows = build(3, 120, augment=[name])["train"]
    used = {word for one in rows for word in one["meta"]["augmented"]}
    assert used == {name}
    assert build(3, 120, augment=[name])["train"] == rows


def test_without_augmentations_there_is_the_stock() -> None:
    rows = build(3, 500, augment=[])["train"]
    assert 36 <= len(rows) <= 72 and list(findings({"train": rows})) == []
    with pytest.raises(UnknownName):
        build(3, 10, augment=["renam"])


@given(st.sampled_from(problems()), st.sampled_from(sorted(rename.POOLS)), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_renaming_keeps_trees_and_answer_sets(problem: Problem, pool: str, seed: int) -> None:
    rng = random.Random(seed)
    rules = [rename.renamed(rule.rule, pool, rng) for rule in problem.rules]
    for rule, new in zip(problem.rules, rules, strict=True):
        table = dict(zip(_names(rule.rule), _names(new), strict=True))
        assert len(set(table.values())) == len(table)
        assert [str(tree) for tree in statements(new)] == [
            str(renamed_tree(tree, table)) for tree in statements(rule.rule)
        ]
    instance = problem.instances[seed % len(problem.instances)]
    found = answers("\n".join(rules), instance.facts, problem.show)
    assert sorted(map(tuple, found["sets"])) == sorted(instance.answers)


def renamed_tree(tree: Any, table: dict[str, str]) -> Any:
    """The same renaming by clingo's Transformer, which knows nothing of texts."""
    from clingo.ast import Transformer

    class Renamer(Transformer):
        def visit_Variable(self, node: Any) -> Any:
            return node.update(name=table.get(node.name, node.name))

    return Renamer().visit(tree)


def _names(rule: str) -> list[str]:
    return list(dict.fromkeys(name for name, _ in rename.variables(rule)))


def test_renaming_leaves_strings_constants_and_blanks_alone() -> None:
    rule = 'p(X, "X",  x ) :- q(X,_),\n  not r(X,Xs), X=1..Xs. % X'
    assert rename.rename(rule, {"X": "V1", "Xs": "V2"}) == 'p(V1, "X",  x ) :- q(V1,_),\n  not r(V1,V2), V1=1..V2. % X'
    assert rename.rename('p("é",X) :- q("ü",X).', {"X": "Y"}) == 'p("é",Y) :- q("ü",Y).'


def test_noise() -> None:
    say = "Give K, the size, to each row-pair."
    assert noisy(say, "lower") == "give k, the size, to each row-pair."
    assert noisy(say, "bare") == "Give K the size to each row pair"
    assert noisy(say, "both") == "give k the size to each row pair"


def test_paraphrases_by_rule_and_by_a_model() -> None:
    say, rng = "Pick exactly K nodes.", random.Random(1)
    assert paraphrase.by_rule(say, "Could you {it}?") == "Could you pick exactly K nodes?"
    asked: list[Any] = []

    def write(messages: list[dict[str, str]]) -> str:
        asked.append(messages)
        return replies[len(asked) % len(replies)]

    replies = ["Choose nodes, K of them."]
    assert paraphrase.paraphrase(say, "natural", rng, write) == "Choose nodes, K of them."
    assert say in asked[0][-1]["content"] and "natural" in asked[0][-1]["content"]
    for bad in ("Choose some nodes.", "", "Pick\nexactly K nodes.", "K " * 40):  # K lost, nothing, two lines, too long
        replies = [bad]
        said = paraphrase.paraphrase(say, "academic", rng, write)
        assert "pick exactly K nodes" in said or "Pick exactly K nodes" in said


def test_an_endpoint_paraphrases_and_a_line_of_its_own_is_kept(tmp_path: Path) -> None:
    """Over HTTP, as `Endpoint` does it; the same words are asked once."""
    with endpoint_that_says("Let all of them be covered.") as (url, asked):
        endpoint = Endpoint("m", base_url=url, cache=tmp_path)
        rows = [build(5, 45, augment=["paraphrase"], write=endpoint.complete) for _ in range(2)]
        endpoint.close()
    assert rows[0] == rows[1] and len(asked) == len({json.dumps(body["messages"]) for body in asked})
    assert any(
        message["content"] == "Let all of them be covered." for one in rows[0]["train"] for message in one["messages"]
    )


@contextmanager
def endpoint_that_says(text: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            body = json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_models_paraphrases_reach_the_data() -> None:
    rows = build(5, 80, augment=["paraphrase"], write=lambda messages: f"Reworded: {messages[-1]['content'].splitlines()[-1]}")["train"]  # fmt: skip
    assert any(message["content"].startswith("Reworded: ") for one in rows for message in one["messages"])


@pytest.mark.parametrize("name", BREAKS)
def test_every_way_to_break_a_rule_makes_clingo_complain(name: str) -> None:
    facts = "r(1). queue(1). q(1,1)." if name == "wrong_arity" else "r(1). queue(1). q(1)."
    rules = {
        "missing_period": ("p(X) :- q(X).", "p(X) :- q(X)", "syntax error"),
        "unsafe_variable": ("p(X,Y) :- q(X), r(Y).", None, "unsafe"),
        "broken_operator": ("p(X) :- q(X), X != 2.", None, "error"),
        "wrong_arity": ("p(X) :- q(X,1).", "p(X) :- q(X).", "does not occur"),
        "misspelt_predicate": ("p(X) :- queue(X).", None, "does not occur"),
    }
    rule, broken, said = rules[name]
    for seed in range(8):
        found = BREAKS[name](rule, random.Random(seed))
        assert found is not None and found != rule and (broken is None or found == broken)
        assert said in answers(found, facts, ["p/1"])["message"], found


def test_synthetic_repairs_quote_clingo(splits: dict[str, list[Example]]) -> None:
    rows = [one for one in splits["train"] if "repair" in one["meta"]["augmented"]]
    assert len(rows) > 40
    said = "\n".join(one["messages"][-2]["content"] for one in rows)
    for phrase in (*(FEEDBACK[kind] for kind in ("syntax", "unsafe", "unsatisfiable", "empty", "warning")), "is unsafe", "does not occur in any rule head"):  # fmt: skip
        assert phrase in said
    for one in rows:
        broken = one["messages"][-2]["content"].split("This was written:\n")[1].split("\n\n")[0]
        assert broken != one["reference"]
        assert not any(broken == message["content"] for message in one["messages"] if message["role"] == "assistant")


# the check

SAME = [
    ("cover-guards", "{ guard(N) : node(N) }. :- limit(K), #count { N : guard(N) } > K. covered(A,B) :- edge(A,B), guard(A). covered(A,B) :- edge(A,B), guard(B). :- edge(A,B), not covered(A,B)."),
    ("queens", "{ queen(R,C) } :- row(R), col(C). :- row(R), #count { C : queen(R,C) } != 1. :- queen(A,C), queen(B,D), A != B, (|A-B|-|C-D|)*(C-D) = 0."),
    ("knapsack", "{ take(I) } :- thing(I). :- room(R), R < #sum { S,I : take(I), size(I,S) }. #minimize { -V,I : take(I), worth(I,V) }."),
    ("colouring-sides", "left(I) :- item(I), not right(I). right(I) :- item(I), not left(I). :- clash(A,B), left(A), left(B). :- clash(A,B), right(A), right(B)."),
    ("assign-projects", "{ gets(S,P) : project(P,_) } = 1 :- student(S). :- project(P,K), K+1 { gets(S,P) }. #minimize { R,S : gets(S,P), rank(S,P,R) }."),
    ("cover-guards", "#const k = 1. #show guard/1. #show extra : guard(1). #show X : node(X). #defined extra/1. { guard(N) : node(N) } K :- limit(K), k = 1.\n:- edge(A,B), not guard(A), not guard(B). #show."),
    ("win-move", "wins(A) :- not wins(B), move(A,B). loses(Z) :- not wins(Z), position(Z)."),
]  # fmt: skip
DIFFERENT = [
    ("cover-guards", "", "empty"),
    ("cover-guards", "% only a comment", "empty"),
    ("cover-guards", "#show guard/1.", "empty"),
    ("cover-guards", "{ guard(N) : node(N) } K :- limit(K)", "syntax"),
    ("cover-guards", "I do not know.", "empty"),
    ("cover-guards", "guard(X) :- node(X), X > Y.", "unsafe"),
    ("cover-guards", "guard(N) :- node(N). :- guard(N).", "unsatisfiable"),
    ("cover-guards", "guard(N) :- node(N).", "wrong_answer_sets"),
    ("cover-guards", "{ guard(N) : node(N) } K :- limit(K).", "wrong_answer_sets"),
    ("cover-guards", "{ guard(N) : node(N) }. :- edge(A,B), not guard(A), not guard(B).", "wrong_answer_sets"),
    ("cover-guards", "{ guards(N) : node(N) } K :- limit(K). :- edge(A,B), not guards(A), not guards(B).", "wrong_answer_sets"),
    ("cover-guards", "{ guard(N) : node(N) } K :- limit(K). :- edge(A,B), not guard(A), not guard(B). #minimize { 1,N : guard(N) }.", "wrong_optimum"),
    ("cover-strangers", "{ invited(G) : guest(G) }. :- knows(A,B), invited(A), invited(B).", "wrong_optimum"),
    ("cover-strangers", "{ invited(G) : guest(G) }. :- knows(A,B), invited(A), invited(B). #minimize { 1,G : invited(G) }.", "wrong_optimum"),
    ("cover-strangers", "{ invited(G) : guest(G) }. #maximize { 1,G : invited(G) }.", "wrong_optimum"),
    ("knapsack", "{ take(I) : thing(I) }. :- room(R), #sum { S,I : take(I), size(I,S) } > R. #maximize { V : take(I), worth(I,V) }.", "wrong_optimum"),
    ("queens", "#script(python) def f(): pass #end.", "forbidden"),
    ("queens", "queen(X,@f(X)) :- row(X).", "forbidden"),
    ("queens", "1 { h(P,H) : H = 1..11 } 1 :- P = 1..12. :- h(P,H), h(Q,H), P < Q.", "timeout"),
    ("queens", "p(1..100000000).", "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "program"), SAME)
def test_other_programs_with_the_same_answer_sets_pass(name: str, program: str) -> None:
    verdict = asp.check(program, example(name))
    assert verdict.passed, verdict


@pytest.mark.parametrize(("name", "program", "reason"), DIFFERENT)
def test_wrong_programs_and_why(name: str, program: str, reason: str) -> None:
    verdict = asp.check(program, example(name))
    assert (verdict.passed, verdict.score, verdict.reason) == (False, 0.0, reason), verdict
    assert verdict.reason in asp.REASONS and verdict.detail["message"]


@pytest.mark.parametrize("problem", [p for p in problems() if p.split == "test"], ids=lambda problem: problem.id)
def test_answers_written_down_for_the_shown_instance_fail_on_the_hidden_ones(problem: Problem) -> None:
    sets = problem.instances[0].answers
    rules = [f"1 {{ {'; '.join(f'way({number})' for number in range(len(sets)))} }} 1."]
    rules += [f"{atom} :- way({number})." for number, one in enumerate(sets) for atom in one]
    if problem.instances[0].cost is not None:
        rules += [f"#minimize {{ {cost}@{9 - level} }}." for level, cost in enumerate(problem.instances[0].cost)]
    shown = {**example(problem.id), "meta": {"instances": problem.facts[:1], "show": problem.show}}
    program = "\n".join(rules)
    assert asp.check(program, shown).passed, "else this test proves nothing"  # type: ignore[arg-type]
    verdict = asp.check(program, example(problem.id))
    assert verdict.reason in ("wrong_answer_sets", "wrong_optimum"), verdict
    assert verdict.detail["equivalent"][0] is True


def test_the_search_is_bounded_by_what_is_the_same_on_every_machine() -> None:
    pigeons = "1 { h(P,H) : H = 1..11 } 1 :- P = 1..12. :- h(P,H), h(Q,H), P < Q."
    assert "conflicts" in asp.check(pigeons, example("queens")).detail["message"]
    assert "ground rules" in asp.check("p(1..100000000).", example("queens")).detail["message"]


def test_the_stages_are_reported_apart() -> None:
    def stages(program: str) -> tuple[Any, ...]:
        detail = asp.check(program, example("cover-guards")).detail
        return detail["syntax"], detail["safe"], detail["satisfiable"], detail["equivalent"]

    assert stages("guard(X) :- node(X)") == (False, None, None, [])
    assert stages("guard(X) :- not node(Y).") == (True, False, None, [])
    assert stages("guard(X) :- node(X). :- guard(X).") == (True, True, False, [False, True, False, False, False])
    assert stages("guard(X) :- node(X).") == (True, True, True, [False] * 5)
    assert stages(BANK["cover-guards"].program) == (True, True, True, [True] * 5)
    assert "is unsafe" in asp.check("guard(X) :- not node(Y).", example("cover-guards")).detail["clingo"]


def test_a_rule_is_judged_among_the_given_ones(splits: dict[str, list[Example]]) -> None:
    one = next(row for row in splits["test"] if row["id"] == "asp-cover-guards-rule-2")
    assert [message["role"] for message in one["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert asp.check(":- edge(X,Y), { guard(X); guard(Y) } 0.", one).passed
    assert asp.check(":- edge(X,Y), not guard(X), not guard(Y), X != 2.", one).reason == "wrong_answer_sets"
    assert asp.check("%* never closed", one).reason == "syntax"
    assert asp.check(BANK["cover-guards"].program, one).passed, "the whole program says the rule as well"


def test_a_reference_that_cannot_be_solved_is_not_the_answers_fault() -> None:
    broken: Example = {
        "id": "x",
        "messages": [],
        "reference": "p(X).",
        "meta": {"instances": ["q(1)."], "show": ["p/1"]},
    }
    assert asp.check("p(1).", broken).reason == "reference"


def test_facts_of_an_instance_are_refused_and_facts_of_a_program_are_not() -> None:
    program = BANK["crossing-river"].program
    assert "opposite(left,right)." in program and asp.check(program, example("crossing-river")).passed
    assert asp.check(f"{program}\nitem(fox).", example("crossing-river")).reason == "facts"
    symmetric = "joined(A,B) :- edge(A,B). edge(B,A) :- joined(A,B). " + BANK["cover-guards"].program
    assert asp.check(symmetric, example("cover-guards")).passed, "a rule may extend what instances bring"


EXTRACT = [
    ("a :- b.", "a :- b."),
    ("Here is the program:\n\na :- b.\n:- c.\n\nIt says that a follows from b.", "a :- b.\n:- c."),
    ("```asp\na :- b.\n```", "a :- b."),
    ("Sure!\n```\na.\n```\nand then\n```\nb.\n```", "a.\nb."),
    ("```asp\na.\n```\nIt prints:\n```text\nAnswer: 1\n```", "a."),
    ("```clingo\na :- b.", "a :- b."),
    ("<think>\nb.\n</think>\na.", "a."),
    ("K { a(X) : b(X) } K :- k(K).", "K { a(X) : b(X) } K :- k(K)."),
    ("% a comment\n{ a }.\nDone.", "% a comment\n{ a }."),
    ("1. Use a choice rule\n{ a }.", "{ a }."),
    ("`a :- b.`", "a :- b."),
    ("a :- b.\r\nc.", "a :- b.\nc."),
    ("not_a :- not b, not c.", "not_a :- not b, not c."),
    ("I cannot do that", ""),
]


@pytest.mark.parametrize(("text", "program"), EXTRACT)
def test_the_program_in_a_text(text: str, program: str) -> None:
    assert program_of(text) == program


# the repair loop


def scripted(*answers: str) -> tuple[Callable[[list[dict[str, str]]], str], list[list[dict[str, str]]]]:
    seen: list[list[dict[str, str]]] = []

    def complete(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return answers[min(len(seen), len(answers)) - 1]

    return complete, seen


RIGHT = BANK["cover-guards"].program
FIXES = [
    ("{ guard(N) : node(N) } K :- limit(K)", "syntax", "syntax error"),
    ("guard(X) :- not node(X).", "unsafe", "is unsafe"),
    ("guard(N) :- node(N). :- guard(N).", "unsatisfiable", "no answer set"),
    ("watch(N) :- node(N).", "empty", "none of the atoms"),
    ("", "empty", "no rule was written"),
    ("#script(python) #end.", "forbidden", "#script"),
    ("guard(1..10000000).", "endless", "ground rules"),
]


@pytest.mark.parametrize(("bad", "finding", "told"), FIXES)
def test_a_repair_feeds_back_what_clingo_found(bad: str, finding: str, told: str) -> None:
    complete, seen = scripted(bad, RIGHT)
    first, second = repair(example("cover-guards"), complete, k=2)
    assert (first.finding, first.verdict.passed, second.finding, second.verdict.passed) == (finding, False, "ok", True)
    question = seen[1][-1]["content"]
    assert told in question and FEEDBACK[finding] in question and bad in question
    assert len(seen[1]) == len(seen[0]) and seen[1][:-1] == seen[0][:-1]
    assert len(set(FEEDBACK.values())) == len(FEEDBACK)


def test_the_loop_tells_nothing_of_the_reference_or_the_hidden_instances() -> None:
    one = example("cover-guards")
    complete, seen = scripted("guard(X", "guard(N) :- node(N). :- guard(N).", "watch(1).", "guard(1).")
    run = repair(one, complete, k=5)
    assert [attempt.finding for attempt in run] == ["syntax", "unsatisfiable", "empty", "ok"]
    assert run[-1].verdict.reason == "wrong_answer_sets", (
        "clingo had nothing to say, so the loop ended: wrong all the same"
    )
    said = "\n".join(message["content"] for messages in seen for message in messages)
    for rule in BANK["cover-guards"].rules:
        assert rule.rule not in said
    assert not any(facts in said for facts in one["meta"]["instances"][1:]) and "reference" not in said.lower()


def test_pass_at_1_and_repair_at_k_are_apart() -> None:
    runs = []
    for script in ((RIGHT,), ("oops", RIGHT), ("oops", "oops", "oops"), ("guard(1).",)):
        runs += repair_all([example("cover-guards")], scripted(*script)[0], k=2)
    assert [len(run) for run in runs] == [1, 2, 3, 1]
    assert summary(runs, 2) == {
        "examples": 4, "k": 2, "pass@1": 0.25, "repair@2": 0.5, "attempts": 1.75, "findings": {"ok": 2, "syntax": 2},
    }  # fmt: skip
    assert summary([], 3)["pass@1"] is None


# LLASP, and what a demo needs

CSV = """prompt,answer,fact
"Assign each node one of red and green.","red(X) | green(X) :- node(X).","node(1..2)."
"Say which items of ""box"" are neither big nor old.","keep(X) :- box(X), not big(X), not old(X).","box(a;b;c). big(a). old(c)."
"Forbid two chosen ones next to each other.",":- chosen(X), chosen(Y), next(X,Y).","next(1,2). {chosen(1..2)}."
"Select one value for each key.","{select(K,V) : value(V)} = 1 :- key(K).","key(k). value(1..3)."
"""


def test_llasp_rows_become_examples_that_their_references_pass(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(CSV, encoding="utf-8")
    rows = list(llasp.load(str(tmp_path), "test"))
    assert [one["meta"]["show"] for one in rows] == [
        ["red/1", "green/1"],
        ["keep/1"],
        ["chosen/1", "next/2"],
        ["select/2"],
    ]
    assert [asp.check(one["reference"], one).reason for one in rows] == ["ok"] * 4
    assert rows[0]["id"] == "llasp-test-00001" and rows[1]["messages"][1]["content"].count('"box"') == 1
    assert asp.check("green(X) :- node(X).", rows[0]).reason == "wrong_answer_sets"
    assert asp.check("red(X) :- node(X), not green(X). green(X) :- node(X), not red(X).", rows[0]).passed


@pytest.mark.parametrize(
    ("row", "said"),
    [("p,a :- b,c.", "row 1"), ("p,a.,b", "row 1"), ("p,,b.", "empty"), ('p,"#include ""x"".",b.', "#include")],
)
def test_a_bad_llasp_row_is_named(row: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text(f"prompt,answer,fact\n{row}\n", encoding="utf-8")
    with pytest.raises(InvalidData, match=said):
        list(llasp.load(str(file), "train"))
    file.write_text("prompt,answer\np,a.\n", encoding="utf-8")
    with pytest.raises(InvalidData, match="fact"):
        list(llasp.load(str(file), "train"))


def test_the_bank_answers_its_own_problems() -> None:
    for question in asp.CARD.examples:
        solution = asp.solve(question.upper() if question.startswith("Facts: coin") else f"  {question}\n")
        assert solution is not None
        one: Example = {
            "id": "x",
            "messages": asp.messages(question),
            "reference": solution.reference,
            "meta": solution.meta,
        }
        assert asp.check(solution.text, one).passed
        assert asp.check(solution.text, {**one, "meta": {}}).passed, "instances are found by the program"
        assert not asp.check("p.", {**one, "meta": {}}).passed
    assert asp.solve("Facts: nobody wrote this.") is None
    assert asp.messages("Facts: new(X).")[0]["content"].endswith("Facts: new(X).")
    trained = next(one for one in asp.build(1, 1)["test"] if one["id"] == "asp-cover-guards-program")
    assert asp.messages(BANK["cover-guards"].text) == trained["messages"][:-1]
