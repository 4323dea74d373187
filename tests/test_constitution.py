"""The constitution room: a stock that is true to the text, splits by Article, a check of citations and facts."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.base import Example
from domains.constitution import quantities as figures
from domains.constitution.build import families, generated, mentioned, nth, written
from domains.constitution.citations import extract
from domains.constitution.facts import phrase, read
from domains.constitution.numerals import ordinal, roman, spoken
from domains.constitution.stock import (
    HOLDERS,
    QUANTITIES,
    Key,
    Pair,
    amendments,
    articles,
    pairs,
    parts,
    read_pair,
    schedules,
)
from domains.constitution.text import readable
from domains.contamination import WINDOW, findings, words
from truemark.errors import UnknownName

constitution = get("constitution")
REPOSITORY = Path(__file__).resolve().parents[1]


def example(pair: Pair, question: str = "") -> Example:
    meta = {
        "articles": list(pair.articles),
        "related": list(pair.related),
        "keys": [key.to_meta() for key in pair.keys],
        "also": list(pair.also),
        "question": question or pair.question,
    }
    return {"id": pair.id, "messages": [], "reference": pair.answer, "meta": meta}


@lru_cache
def asked(question: str) -> Example:
    """The example of a question of the stock."""
    found = [pair for pair in pairs() if question in (pair.question, *pair.paraphrases)]
    assert len(found) == 1, question
    return example(found[0], question)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return constitution.build(7, 2600)


GOVERNOR = "Who appoints the Governor of a State?"
AGE = "What is the minimum age for election as President?"
MINISTERS = "What is the largest size of the Union Council of Ministers?"
NOTICE = "How many days' notice must be given before a resolution to impeach the President is moved?"
MAJORITY = "By what majority must each House pass a Bill to amend the Constitution?"
WRITS = "Which five writs are named in the Article on constitutional remedies?"
DUTIES = "Which amendment added the Fundamental Duties?"
TRANSFER = "Who may transfer a Judge from one High Court to another?"
CONSULTED = "Who must be consulted before a High Court Judge is transferred?"
START = "On which day did the Constitution as a whole come into force?"
COURTS = "Can the Directive Principles be enforced by a court?"
LIBERTY = "According to what alone may a person be deprived of life or personal liberty?"
SPEECH = "Under which provision have citizens the freedom of speech and expression?"
EMERGENCY = "Which two Fundamental Rights can never be suspended by an order during an Emergency?"
LIST = "Which Schedule contains the Union, State and Concurrent Lists?"
SCHOOL = "For children of what ages is education free and compulsory as a Fundamental Right?"
TAX = "What is the yearly ceiling on the tax a person pays on professions to a State or local authority?"
CHILDREN = "Below what age may no child be employed in a factory or mine?"
PROPERTY = "Which amendment repealed the Fundamental Right to property in Article 31?"

RIGHT = [
    (GOVERNOR, "Article 155: the President."), (GOVERNOR, "Under Art. 155, the President of India appoints each Governor."),
    (GOVERNOR, "The Governor is appointed by the President (Art 155)."), (GOVERNOR, "The President appoints the Governor on the advice of the Council of Ministers headed by the Prime Minister (Article 155)."), (GOVERNOR, "Not the Prime Minister but the President appoints the Governor (Article 155)."),
    (GOVERNOR, "The President, not the Chief Minister, appoints the Governor under Article 155."), (GOVERNOR, "The President appoints the Governor (Articles 155 and 156)."),
    (GOVERNOR, "I am not sure, but I think it is the President, by Article 155."), (GOVERNOR, "राष्ट्रपति, that is the President (अनुच्छेद १५५)."),
    (GOVERNOR, "Who appoints the Governor? The President does (article 155)."), (GOVERNOR, "**Answer:** The *President* appoints the Governor, see Article\u00a0155."),
    (AGE, "35 years (Article 58)."), (AGE, "A candidate must be at least 35 years old under Article 58(1)(b)."), (AGE, "Thirty-five. Article 58."), (AGE, "Article 58 sets 35 as the minimum age."),
    (AGE, "The minimum is thirty five years of age, not 30 (Article 58)."), (AGE, "Ａｒｔｉｃｌｅ ５８： ３５ years."),
    (MINISTERS, "15% of the Lok Sabha (Article 75)."), (MINISTERS, "Not more than fifteen percent of the House of the People, says Article 75(1A)."),
    (MINISTERS, "Article 75 caps it at a maximum of 15 per cent of the members of the House."),
    (NOTICE, "14 days (Article 61)."), (NOTICE, "Two weeks' notice, Article 61(2)(a)."), (NOTICE, "At least fourteen days. See Article 61."),
    (MAJORITY, "2/3 of the members present and voting, with a majority of the total membership (Article 368)."), (MAJORITY, "Two thirds of those present and voting: Article 368(2)."),
    (WRITS, "Article 32 names certiorari, habeas corpus, quo-warranto, mandamus and prohibition."),
    (WRITS, "1. Habeas corpus\n2. Mandamus\n3. Prohibition\n4. Quo warranto\n5. Certiorari\nAll in Article 32."),
    (DUTIES, "The Forty-second Amendment Act, 1976 (Article 51A)."), (DUTIES, "Article 51A came with the 42nd Constitutional Amendment."), (DUTIES, "Constitution (Forty-second Amendment) Act: Article 51-A."),
    (TRANSFER, "The President may transfer, after consulting the Chief Justice of India (Article 222)."), (TRANSFER, "Under Article 222 the President."),
    (CONSULTED, "The Chief Justice of India (Article 222)."), (CONSULTED, "The President acts after consultation with the CJI under Article 222."),
    (START, "26 January 1950 (Article 394)."), (START, "On January 26, 1950, by Article 394."), (START, "The 26th of January, 1950: Article 394."), (START, "The twenty-sixth day of January, 1950 (Article 394)."),
    (COURTS, "No. They cannot be enforced in court (Article 37)."), (COURTS, "They are non-justiciable under Article 37."),
    (LIBERTY, "Article 21 allows it only by procedure established by law."),
    (SPEECH, "Article 19"), (SPEECH, "Art.19(1)(a)"), (EMERGENCY, "Articles 20 and 21, by Article 359."), (EMERGENCY, "Articles 20-21 (Article 359)"),
    (LIST, "Schedule VII, Article 246."), (LIST, "The 7th Schedule (Article 246)."), (SCHOOL, "From 6 to 14 years (Article 21A)."), (SCHOOL, "Ages 6-14, Article 21-A."), (SCHOOL, "Children aged six to fourteen years, Article 21a"),
    (TAX, "Rs. 2,500 a year (Article 276)."), (TAX, "Article 276: at most ₹2500 per annum."), (CHILDREN, "14 years (Article 24)."), (CHILDREN, "Fourteen. No child younger than that may work there, Article 24."),
    (PROPERTY, "The 44th Amendment of 1978 repealed Article 31."),
]  # fmt: skip
WRONG = [
    (GOVERNOR, "The Prime Minister (Article 155).", "wrong_fact"), (GOVERNOR, "Article 155.", "missing_fact"), (GOVERNOR, "The President.", "no_citation"),
    (GOVERNOR, "The President (Article 156).", "wrong_article"), (GOVERNOR, "The President or the Prime Minister (Article 155).", "wrong_fact"),
    (GOVERNOR, "The President does not appoint the Governor (Article 155).", "wrong_fact|missing_fact"), (GOVERNOR, "The President (Article 155A).", "invented_article"),
    (GOVERNOR, "The President (Articles 153 to 160).", "over_citing"), (GOVERNOR, "The President (Article 155 or Article 164).", "over_citing"),
    (GOVERNOR, "The President, by Article 155 and the 14th Schedule.", "invented_article"), (GOVERNOR, "The President, by Article 155 and the 207th Amendment.", "invented_article"),
    (GOVERNOR, "The President (Article 155, Part XXV).", "invented_article"), (GOVERNOR, "The President (Article 155). See also Article 238.", "omitted_article"),
    (GOVERNOR, "Is it the President under Article 155?", "no_citation"), (GOVERNOR, "It is false that the President appoints the Governor (Article 155).", "wrong_fact"),
    (GOVERNOR, "It is not, in fact, the President (Article 155).", "wrong_fact|missing_fact"), (GOVERNOR, "The President (Article 155). Actually, Article 164.", "wrong_article"),
    (GOVERNOR, "Section 155: the President.", "no_citation"), (GOVERNOR, "The President; this is not in Article 155.", "no_citation"),
    (AGE, "30 years (Article 58).", "wrong_fact"), (AGE, "30 or 35 years (Article 58).", "wrong_fact"), (AGE, "35 days (Article 58).", "wrong_fact|missing_fact"), (AGE, "At most 35 years (Article 58).", "wrong_fact"),
    (AGE, "25, 30, 35 (Article 58).", "wrong_fact"), (AGE, "Article 35. The age is in Article 58.", "missing_fact"), (AGE, "Not 35 years (Article 58).", "missing_fact"), (AGE, "340 years: 3 5 (Article 58)", "wrong_fact"),
    (MINISTERS, "At least fifteen per cent (Article 75).", "wrong_fact"), (MINISTERS, "15 members (Article 75).", "wrong_fact|missing_fact"), (MINISTERS, "10% or 15% (Article 75).", "wrong_fact"),
    (NOTICE, "14 months (Article 61).", "wrong_fact|missing_fact"), (MAJORITY, "Three-fourths of the members present and voting (Article 368).", "wrong_fact"),
    (WRITS, "Habeas corpus and mandamus (Article 32).", "missing_fact"), (DUTIES, "The 44th Amendment (Article 51A).", "wrong_fact"), (DUTIES, "The 42nd Amendment, 1988 (Article 51A).", "wrong_fact"), (DUTIES, "The 42nd or the 44th Amendment (Article 51A).", "wrong_fact"),
    (DUTIES, "It was not the 42nd Amendment (Article 51A).", "wrong_fact|missing_fact"),
    (TRANSFER, "The Chief Justice of India, after consultation with the President (Article 222).", "wrong_fact"), (CONSULTED, "The Chief Justice of India acts on the advice of the Prime Minister (Article 222).", "wrong_fact"),
    (START, "26 November 1949 (Article 394).", "wrong_fact"), (START, "26 January 1950 or 15 August 1947 (Article 394).", "wrong_fact"), (COURTS, "They are enforceable (Article 37).", "wrong_fact"),
    (COURTS, "Article 37 says nothing of it.", "missing_fact"), (LIBERTY, "Only by due process of law (Article 21).", "wrong_fact"), (SPEECH, "Article 19 or 21.", "over_citing"), (SPEECH, "Articles 19, 20", "over_citing"),
    (LIST, "The Eighth Schedule (Article 246).", "wrong_fact"), (SCHOOL, "From 6 to 18 years (Article 21A).", "wrong_fact"), (EMERGENCY, "Articles 20 and 22, by Article 359.", "over_citing"),
    (TAX, "₹250 (Article 276).", "wrong_fact"), (CHILDREN, "18 years (Article 24).", "wrong_fact"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer"), RIGHT, ids=str)
def test_right_answers_in_other_words(question: str, answer: str) -> None:
    verdict = constitution.check(answer, asked(question))
    assert verdict.passed and verdict.score == 1 and verdict.reason == "ok", verdict


@pytest.mark.parametrize(("question", "answer", "reasons"), WRONG, ids=str)
def test_wrong_answers_and_why(question: str, answer: str, reasons: str) -> None:
    verdict = constitution.check(answer, asked(question))
    assert not verdict.passed and verdict.score < 1, verdict
    assert verdict.reason in reasons.split("|") and verdict.reason in constitution.REASONS, verdict
    assert verdict.detail["message"]


def test_the_score_is_the_mean_of_its_parts() -> None:
    verdict = constitution.check("The Prime Minister (Article 155).", asked(GOVERNOR))
    assert verdict.detail["parts"] == {"exists": 1.0, "articles": 1.0, "facts": 0.0}
    assert verdict.score == pytest.approx(2 / 3)
    assert constitution.check("Article 155A", asked(GOVERNOR)).score == 0


def test_every_reason_is_reached_and_documented() -> None:
    reached = {reason for _, _, reasons in WRONG for reason in reasons.split("|")} | {
        "ok",
        "empty",
        "too_long",
        "unreadable",
    }
    assert reached == set(constitution.REASONS)


CITED = [
    ("Article 21", ["21"]), ("Art. 21A", ["21A"]), ("article 21-A", ["21A"]), ("Articles 14 and 15", ["14", "15"]), ("Articles 14–18", ["14", "15", "16", "17", "18"]),
    ("Articles 14 to 16", ["14", "15", "16"]), ("Article 19(1)(a)", ["19"]), ("Articles 19(1)(a) and 19(1)(g)", ["19"]), ("Arts 32, 226", ["32", "226"]), ("Arts. 32 & 226", ["32", "226"]),
    ("Article 243-ZT", ["243ZT"]), ("Article 243 ZT", ["243ZT"]), ("Article 243P-ZG", [name for name in articles() if articles()[name]["part"] == "IXA"]), ("Art.21", ["21"]), ("ARTICLE 21", ["21"]),
    ("Article No. 21", ["21"]), ("Article 21 A person has rights", ["21"]), ("Article 21 and 35 years", ["21"]), ("Article 61, 2/3 majority", ["61"]), ("Article 75, 15% of members", ["75"]),
    ("Article 326, 1988", ["326"]), ("Article 58, 35 is the age", ["58"]), ("Article twenty-one", ["21"]), ("Article 239AA", ["239AA"]), ("Article 16(4A)", ["16"]), ("Article 19A", ["19A"]),
    ("Article 9999999", ["9999999"]), ("no numbers, an article of faith", []), ("articles of association", []), ("Section 21", []), ("Article 5, Article 6 and article 7", ["5", "6", "7"]), ("Article 0021", ["21"]),
    ("Article 243O", ["243O"]), ("Article 368(2), proviso", ["368"]), ("Article 14, 19 and 21 together", ["14", "19", "21"]), ("Preamble and Article 1", ["1", "Preamble"]), ("particle 21", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), CITED, ids=str)
def test_citations(text: str, names: list[str]) -> None:
    assert extract(readable(text)).names() == names


@pytest.mark.parametrize(
    ("text", "kind", "numbers"),
    [
        ("the Seventh Schedule", "schedule", ["7"]), ("Schedule VII", "schedule", ["7"]), ("12th Schedule", "schedule", ["12"]), ("the Thirteenth Schedule", "schedule", ["13"]),
        ("42nd Amendment", "amendment", ["42"]), ("Forty-second Amendment", "amendment", ["42"]), ("the One Hundred and First Amendment", "amendment", ["101"]), ("Amendment No. 7", "amendment", ["7"]),
        ("103rd Constitutional Amendment", "amendment", ["103"]), ("Constitution (Eighty-sixth Amendment) Act, 2002", "amendment", ["86"]), ("an amendment", "amendment", []),
        ("Part III", "part", ["III"]), ("Part IV-A", "part", ["IVA"]), ("Part IXA", "part", ["IXA"]), ("Part B States", "part", []), ("Part 3", "part", ["III"]), ("Part XXIII", "part", ["XXIII"]),
    ],
)  # fmt: skip
def test_schedules_amendments_and_parts(text: str, kind: str, numbers: list[str]) -> None:
    assert extract(text).numbers(kind) == numbers


def test_the_table_of_articles_is_whole() -> None:
    numbers = {int(re.match(r"\d+", name)[0]) for name in articles()}  # type: ignore[index]
    assert numbers == set(range(1, 396))
    for name in ("21A", "51A", "243ZT", "279A", "323A", "342A", "371J", "338B", "394A", "330A"):
        assert "status" not in articles()[name]
    gone = {name for name, row in articles().items() if row.get("status") == "omitted"}
    assert {"31", "238", "268A", "291", "362", "379", "391", "32A", "257A", "329A"} <= gone
    for name, row in articles().items():
        assert row["title"] and row["part"] in parts(), name
        for field in ("inserted", "omitted"):
            assert row.get(field, 1) in amendments(), name
        if row.get("inserted"):
            assert name in amendments()[row["inserted"]]["articles"], name
        if row.get("omitted"):
            assert name in amendments()[row["omitted"]]["articles"] or name == "329A", name


def test_parts_schedules_and_amendments_name_real_articles() -> None:
    order = list(articles())
    for name, row in parts().items():
        inside = [
            article
            for article in order
            if articles()[article]["part"] == name and articles()[article].get("status") != "superseded"
        ]
        assert (row["first"], row["last"]) == (inside[0], inside[-1]), name
    assert list(schedules()) == list(range(1, 13)) and list(amendments()) == list(range(1, 107))
    for row in (*schedules().values(), *amendments().values()):
        assert set(row["articles"]) <= set(articles())
    years = [row["year"] for row in amendments().values()]
    assert years == sorted(years) and years[0] == 1951 and years[-1] == 2023


def test_the_stock_is_large_and_covers_every_part() -> None:
    on_articles = [pair for pair in pairs() if pair.articles != ("Preamble",)]
    assert len(on_articles) >= 500
    assert {pair.part for pair in on_articles} == set(parts())
    said = {key.value for pair in pairs() for key in pair.keys if key.kind == "amendment"} | {
        number
        for pair in pairs()
        for text in (pair.question, pair.answer)
        for number in extract(text).numbers("amendment")
    }
    wanted = {str(number) for number in (1, 7, 24, 25, 42, 44, 52, 61, 69, 73, 74, 86, 91, 97, *range(99, 107))}
    assert wanted <= said
    for pair in pairs():
        assert pair.paraphrases and pair.question.endswith("?"), pair.question
        assert len(pair.answer) < 600 and set(pair.articles) <= set(extract(pair.answer).names()), pair.question


def test_every_written_reference_passes_for_every_wording_and_an_echo_does_not() -> None:
    for pair in pairs():
        for question in (pair.question, *pair.paraphrases):
            verdict = constitution.check(pair.answer, example(pair, question))
            assert verdict.passed, (question, verdict)
            if pair.keys:
                named = " ".join("Preamble" if name == "Preamble" else f"Article {name}" for name in pair.articles)
                assert not constitution.check(
                    f"{question.replace('?', '.')} {named}", example(pair, question)
                ).passed, question


@pytest.mark.parametrize(
    "form",
    [
        "Under the Constitution of India, {}",
        "**Answer:** {}",
        "{} This is information, not legal advice.",
        "1. {}",
        "Sure! {}",
        "> {}\n",
    ],
)
def test_a_reference_passes_in_any_dress(form: str) -> None:
    for pair in pairs():
        assert constitution.check(form.format(pair.answer), example(pair)).passed, pair.question


def test_a_reference_turned_into_its_opposite_fails() -> None:
    verbs = re.compile(r"\b(is|are|may|shall|has|appoints?|can|must|consists?|holds?|were|was)\b(?! not)")
    turned = [
        (pair, verbs.sub(r"\1 not", pair.answer, count=1))
        for pair in pairs()
        if pair.keys and verbs.search(pair.answer)
    ]
    assert len(turned) > 150
    for pair, answer in turned:
        assert not constitution.check(answer, example(pair)).passed, answer


def test_every_built_reference_passes_and_every_known_question_is_solved(splits: dict[str, list[Example]]) -> None:
    for split in splits.values():
        for row in split:
            assert constitution.check(row["messages"][-1]["content"], row).passed, row["id"]
            solution = constitution.solve(row["messages"][0]["content"])
            assert solution is not None and constitution.check(solution.text, row).passed, row["messages"][0]


def test_an_article_of_one_split_is_in_no_other() -> None:
    for seed in (0, 7, 99):
        whole = constitution.build(seed, 10**6)
        assert not list(findings(whole))
        built = {split: [row for row in rows if row["meta"]["slice"] != "wordings"] for split, rows in whole.items()}
        named = {
            split: {
                name
                for row in rows
                for text in (row["messages"][0]["content"], row["reference"])
                for name in extract(readable(text)).names()
            }
            | {name for row in rows for name in row["meta"]["articles"] + row["meta"]["related"]}
            for split, rows in built.items()
        }
        assert (
            not named["train"] & named["test"]
            and not named["train"] & named["dev"]
            and not named["dev"] & named["test"]
        )
        by_family = {split: {row["meta"]["family"] for row in rows} for split, rows in built.items()}
        assert by_family["train"].isdisjoint(by_family["test"]) and by_family["train"].isdisjoint(by_family["dev"])


def test_a_wording_held_out_asks_for_what_is_trained_in_other_words(splits: dict[str, list[Example]]) -> None:
    trained = {(row["meta"]["family"], row["reference"]) for row in splits["train"]}
    asked = {words(row["meta"]["question"]) for row in splits["train"]}
    for split in ("dev", "test"):
        rows = [row for row in splits[split] if row["meta"]["slice"] == "wordings"]
        assert len(rows) >= 40
        for row in rows:
            assert (row["meta"]["family"], row["reference"]) in trained
            assert words(row["meta"]["question"]) not in asked


def test_levels_are_parts_of_the_constitution() -> None:
    for level, part in (("rights", "III"), ("government", "V"), ("further", "XX")):
        rows = [row for split in constitution.build(7, 10**6, [level]).values() for row in split]
        assert {row["meta"]["level"] for row in rows} == {level} and part in {row["meta"]["part"] for row in rows}
    with pytest.raises(UnknownName, match="rights"):
        constitution.build(7, 10, ["right"])


def test_no_two_groups_share_a_question_or_a_window_so_no_seed_leaks() -> None:
    seen: dict[tuple[str, ...], str] = {}
    whole: dict[tuple[str, ...], str] = {}
    for item in (*written(), *generated()):
        for question in item.questions:
            said = words(question)
            assert whole.setdefault(said, item.id) == item.id, question
            for start in range(len(said) - WINDOW + 1):
                assert seen.setdefault(said[start : start + WINDOW], item.family) == item.family, question


def test_build_is_deterministic_and_its_evaluation_does_not_depend_on_n(splits: dict[str, list[Example]]) -> None:
    assert json.dumps(constitution.build(7, 2600)) == json.dumps(splits)
    small = constitution.build(7, 100)
    assert len(small["train"]) == 100 and small["test"] == splits["test"] and small["dev"] == splits["dev"]
    assert constitution.build(8, 100)["test"] != splits["test"]
    assert constitution.build(7, 0)["train"] == []


def test_the_shape_of_what_is_built(splits: dict[str, list[Example]]) -> None:
    assert len(splits["train"]) >= 1400 and len(splits["test"]) >= 130 and len(splits["dev"]) >= 60
    slices = Counter(row["meta"]["slice"] for row in splits["test"])
    assert set(slices) == set(constitution.SLICES) and slices["articles"] >= 80
    assert len({row["meta"]["part"] for row in splits["test"]}) >= 15
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(ids) == len(set(ids))
    for rows in splits.values():
        for row in rows:
            json.dumps(row, allow_nan=False)
            assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
            assert row["messages"][1]["content"] == row["reference"]


def test_groups_join_what_shares_an_article() -> None:
    for pair in pairs():
        assert len({families()[name] for name in mentioned(pair)}) == 1, pair.question


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is Article 21A about?", "Right to education"), ("Explain Article 17", "Abolition of Untouchability"), ("Article 280", "Finance Commission"),
        ("In which Part of the Constitution is Article 280?", "Part XII"), ("Which amendment inserted Article 48A?", "42nd Amendment"), ("What is Article 238 about?", "7th Amendment"),
        ("Which Article is headed 'Abolition of titles'?", "Article 18"), ("who appoints the governor of a state", "President"), ("Please tell me, who appoints the Governor of a State?", "President"),
        ("What happened to Article 124A?", "struck down"),
    ],
)  # fmt: skip
def test_solve(question: str, said: str) -> None:
    solution = constitution.solve(question)
    assert solution is not None and said in solution.text


@pytest.mark.parametrize(
    "question",
    [
        "", "Who appoints the Governor of the Reserve Bank?", "What is the capital of India?", "What is Article 999 about?", "Compare Article 14 and Article 15", "x" * 10_000, "Article", "\u202eArticle 21",
        "Who appoints?", "How does Article 21 interact with preventive detention laws and the police?",
    ],
)  # fmt: skip
def test_solve_does_not_guess(question: str) -> None:
    assert constitution.solve(question) is None


def test_the_card_and_the_prompt() -> None:
    for question in constitution.CARD.examples:
        assert constitution.solve(question) is not None, question
    assert "not legal advice" in constitution.SYSTEM_PROMPT and "not legal advice" in constitution.CARD.description
    assert constitution.messages("Q?") == [{"role": "user", "content": "Q?"}]


@pytest.mark.parametrize(
    "raw",
    [
        {"question": "Q?", "answer": "A", "articles": ["999"], "keys": []}, {"question": "Q?", "answer": "A", "articles": [], "keys": []}, {"question": "Q?", "answer": "A", "articles": [1], "keys": [{"colour": "red"}]},
        {"question": "Q?", "answer": "A", "articles": [1], "keys": [{"holder": "king"}]}, {"question": "Q?", "answer": "A", "articles": [1], "keys": [], "more": 1}, {"question": "Q?", "articles": [1], "keys": []},
    ],
)  # fmt: skip
def test_a_wrong_pair_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        read_pair(raw, "x")


# facts against the text of the Constitution, where it lies beside the repository


@lru_cache
def constitution_text() -> dict[str, str]:
    root = Path(os.environ.get("TRUEMARK_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    path = root / "constitution_of_india" / "constitution_of_india.json"
    if not path.is_file():
        pytest.skip("the text of the Constitution is not beside the repository: set TRUEMARK_SHARED_DATA to its folder")
    rows = json.loads(path.read_text(encoding="utf-8"))
    text = {str(row["article"]).replace(" ", ""): f"{row['title']}. {row['description']}" for row in rows}
    # the file's own marks: footnote numbers, brackets of amendments, words run together
    cleaned = {
        name: re.sub(r"\s+", " ", re.sub(r"\d \[|[\[\]]", "", value)).replace("onetenth", "one-tenth")
        for name, value in text.items()
    }
    return {"Preamble": cleaned["0"], **cleaned}


def in_text(key: Key, text: str) -> bool:
    said = read(text)
    if key.kind in HOLDERS:
        return any(hit.holder == key.value for hit in said.named)
    if key.kind in QUANTITIES:
        wanted = figures.quantities(key.value)[0]
        # "six to fourteen years": the unit stands with the last number alone
        bare = {figure.value for figure in figures.quantities(key.value.split()[0])}
        return any(
            figure.same(wanted) or (figure.dimension == "count" and figure.value in bare) for figure in said.figures
        )
    if key.kind == "date":
        return bool(figures.dates(key.value) & {date for _, _, date in said.dated})
    if key.kind in ("amendment", "schedule", "part"):
        return key.value in said.cited.numbers(key.kind)
    forms = (key.value, *key.accept)
    return any(all(phrase(fragment).search(text) for fragment in form.split(" & ")) for form in forms)


def test_every_fact_is_in_the_text_of_its_articles_or_names_its_source() -> None:
    text = constitution_text()
    missing = [
        (pair.question, key.kind, key.value)
        for pair in pairs()
        for key in pair.keys
        if not key.source and not in_text(key, " ".join(text.get(name, "") for name in pair.articles))
    ]
    assert missing == []
    sourced = [key for pair in pairs() for key in pair.keys if key.source]
    assert len(sourced) < 0.15 * sum(len(pair.keys) for pair in pairs())
    assert all(re.search(r"Amendment, \d{4}|Article|clauses", key.source) for key in sourced)


def test_amendment_keys_agree_with_the_tables() -> None:
    for pair in pairs():
        for key in pair.keys:
            if key.kind == "amendment" and pair.articles[0] != "Preamble":
                row = amendments()[int(key.value)]
                assert set(pair.articles) & set(row["articles"]), pair.question
                assert f"{nth(int(key.value))} Amendment" not in pair.question
        for number, year in re.findall(r"(\d+)(?:st|nd|rd|th) Amendment, (\d{4})", pair.answer):
            assert amendments()[int(number)]["year"] == int(year), pair.answer
        for source in (key.source for key in pair.keys):
            for number, year in re.findall(r"(\d+)(?:st|nd|rd|th) Amendment, (\d{4})", source):
                assert amendments()[int(number)]["year"] == int(year), source


def test_the_headings_are_those_of_the_text() -> None:
    text = constitution_text()
    same = sum(
        re.sub(r"\W", "", articles()[name]["title"]).casefold()
        == re.sub(r"\W", "", value.split(". ")[0]).casefold()[: len(re.sub(r"\W", "", articles()[name]["title"]))]
        for name, value in text.items()
        if name in articles()
    )
    assert same >= 455 and set(text) - {"0", "Preamble"} <= set(articles())


# properties


@given(
    st.lists(st.sampled_from(list(articles())), min_size=1, max_size=8, unique=True),
    st.sampled_from(["Article", "Art.", "Articles", "Arts", "article"]),
)
@settings(max_examples=200, deadline=None)
def test_a_list_of_citations_is_read_back(names: list[str], keyword: str) -> None:
    plural = "Articles" if len(names) > 1 else keyword
    text = f"See {plural} {', '.join(names[:-1])}{' and ' if len(names) > 1 else ''}{names[-1]} of the Constitution."
    assert extract(text).names() == names
    each = "; ".join(f"{keyword} {name}(1)(a)" for name in names)
    assert extract(each).names() == names


@given(st.sampled_from(list(articles())), st.sampled_from(list(articles())))
@settings(max_examples=100, deadline=None)
def test_a_range_holds_what_lies_between(first: str, last: str) -> None:
    order = list(articles())
    low, high = sorted((order.index(first), order.index(last)))
    if low != high:
        assert extract(f"Articles {order[low]} to {order[high]}").names() == order[low : high + 1]


@given(st.integers(1, 106))
def test_ordinals_are_read_back(number: int) -> None:
    assert extract(f"the {nth(number)} Amendment").numbers("amendment") == [str(number)]


def spelled(number: int) -> str:
    """The number in words."""
    from domains.constitution.numerals import ONES, TENS

    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")
    rest = number % 100
    return f"{ONES[number // 100]} hundred" + (f" and {spelled(rest)}" if rest else "")


@given(st.integers(1, 999), st.sampled_from(["years", "months", "days", "per cent", "rupees"]))
def test_words_and_digits_are_the_same_quantity(number: int, unit: str) -> None:
    [in_digits], [in_words] = figures.quantities(f"{number} {unit}"), figures.quantities(f"{spelled(number)} {unit}")
    assert in_digits.same(in_words) and spoken(spelled(number)) == (number, len(spelled(number)))


def test_numerals() -> None:
    assert [roman(text) for text in ("I", "IV", "IX", "XIV", "XXII", "IIX", "C", "")] == [
        1,
        4,
        9,
        14,
        22,
        None,
        None,
        None,
    ]
    assert [ordinal(text) for text in ("forty-second", "one hundred and third", "the twelfth", "amending")] == [
        42,
        103,
        12,
        None,
    ]


@given(st.text(max_size=300), st.sampled_from([GOVERNOR, AGE, WRITS, START, COURTS, MAJORITY, DUTIES]))
@settings(max_examples=300, deadline=None)
def test_no_text_raises_or_passes_by_chance(text: str, question: str) -> None:
    verdict = constitution.check(text, asked(question))
    assert verdict.reason in constitution.REASONS and 0 <= verdict.score <= 1
    assert not verdict.passed
    assert verdict.to_json()
    constitution.solve(text)


@given(st.integers(0, len(pairs()) - 1), st.integers(0, len(pairs()) - 1))
@settings(max_examples=300, deadline=None)
def test_another_questions_answer_never_passes(here: int, there: int) -> None:
    mine, other = pairs()[here], pairs()[there]
    if set(mine.articles).isdisjoint(other.articles):
        assert not constitution.check(other.answer, example(mine)).passed


@given(st.integers(0, len(pairs()) - 1), st.data())
@settings(max_examples=300, deadline=None)
def test_a_spoilt_reference_never_passes(place: int, data: st.DataObject) -> None:
    pair = pairs()[place]
    spoils = [
        "It is not true that {}",
        "{} That is false.",
        "Some say: {} They are mistaken.",
        "{} See also Article 401.",
        "{} See also Articles 1 to 395.",
        "{} Or is it Article 21Z.",
    ]
    if any(key.kind in HOLDERS for key in pair.keys):
        spoils += ["{} Actually, the Solicitor-General does.", "The Lokpal does. {}", "{} Final answer: the Collegium."]
    if any(key.kind in QUANTITIES for key in pair.keys):
        spoils += [
            "77 years, 78 days, 79 members, 80 rupees, 81 per cent. {}",
            "{} Or 77 per cent, 78 days, 79 years, 80 members, 81 rupees.",
        ]
    spoilt = data.draw(st.sampled_from(spoils)).format(pair.answer)
    assert not constitution.check(spoilt, example(pair)).passed, spoilt
