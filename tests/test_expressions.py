from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extension.expressions import MAX_INSTRUCTIONS, BadExpression, Expression, any_of, numbered

# Of which Python and RE2 make the same.
PARTS = st.sampled_from(["a", "b", "c", "[ab]", "[^a]", ".", "(?:ab|b)", "(a|aa)", r"\d", "^", "$", r"\bb"])
REPEATED = st.tuples(PARTS, st.sampled_from(["", "", "*", "+", "?", "{0,3}", "*?", "{2}"])).map("".join)
EXPRESSIONS = st.lists(REPEATED, min_size=1, max_size=5).map("".join)
TEXTS = st.text(st.sampled_from("abc1 -"), max_size=30)


@given(EXPRESSIONS, TEXTS)
@example("(a|aa)*b", "aaac")
def test_whether_it_is_in_a_text_is_what_python_says(expression: str, text: str) -> None:
    """Asked either way, an expression is in a text where Python's own engine finds it."""
    try:
        found = re.search(expression, text)
        asked = [Expression(expression, only_whether=only_whether) for only_whether in (False, True)]
    except (re.error, BadExpression):
        return  # ^* and the like, which not both take
    assert [one.is_in(text.encode()) for one in asked] == [found is not None] * 2


@given(EXPRESSIONS, TEXTS)
@example("a", "aab")
def test_spans_are_the_matches_of_python(expression: str, text: str) -> None:
    """The matches that are not empty are those that Python's own engine finds, where no empty one is between them."""
    try:
        expected = [found.span() for found in re.finditer(expression, text)]
        spans = list(Expression(expression).spans(text.encode()))
    except (re.error, BadExpression):
        return
    if all(first < last for first, last in expected):
        assert spans == expected


@pytest.mark.parametrize(
    "expression", ["(", "a)(b", "[z-a]", "a**", r"\1", "(?=a)", r"\Z", "a{1001}", "(?P<s3cret", "\udcff"]
)
def test_what_is_no_expression_is_refused_without_being_quoted(expression: str) -> None:
    """What RE2 does not compile is refused with its reason, and nothing of the expression is in that."""
    with pytest.raises(BadExpression, match=r"^expected an expression of RE2 \([^:]+\)$") as refused:
        Expression(f"s3cret{expression}s3cret")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("expression", [r"\pL{1000}", r"(?:\pL{10}){10}", "a{1000}" * (MAX_INSTRUCTIONS // 1000)])
def test_what_compiles_too_large_is_refused(expression: str) -> None:
    """An expression of more instructions than are allowed is refused, whether or not RE2 would take it."""
    with pytest.raises(BadExpression, match="a smaller one"):
        Expression(expression)


def test_bytes_are_searched_as_utf8() -> None:
    """A letter of several bytes is one character to an expression."""
    assert list(Expression("^.é.$").spans("aéb".encode())) == [(0, 4)]


def test_lines_keep_their_numbers() -> None:
    """Each line that is not empty comes with its number, without white space around it."""
    assert numbered("\n a+ \r\n\n(b )\n") == [(2, "a+"), (4, "(b )")]


@given(st.lists(EXPRESSIONS, min_size=2, max_size=4), TEXTS)
@example(["a|b", "(?i)C"], "c")
@example(["(?i)C", "(?P<n>a)", "(?P<n>b)"], "A")
def test_any_of_several_is_in_a_text_where_one_is(expressions: list[str], text: str) -> None:
    """All in one say what they say one by one."""
    try:
        single = [Expression(expression, only_whether=True) for expression in expressions]
    except BadExpression:
        return
    together = any_of(expressions)
    assert together is not None
    assert together.is_in(text.encode()) == any(one.is_in(text.encode()) for one in single)


def test_too_many_are_not_put_together() -> None:
    """What is too large as one expression is asked for one by one."""
    assert any_of(["a{900}", "b{900}"] * 3) is None
