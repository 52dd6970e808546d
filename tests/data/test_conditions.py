"""conditions.py: named conditions to c, and what is refused on the way."""

import copy
import json
import math
import random
import statistics
import subprocess
import sys

import pytest

from genmodels.data import conditions

ROWS = [
    {"file_name": "a.png", "body": "suv", "year": 2000, "is_open": True},
    {"file_name": "b.png", "body": "sedan", "year": 2004.0, "is_open": False},
    {"file_name": "c.png", "body": "suv", "year": 2008, "is_open": False},
]
SCHEMA = conditions.infer(ROWS, ["body", "year", "is_open"])


def test_text_and_booleans_are_classes_and_numbers_are_continuous():
    assert SCHEMA["body"] == {"values": ["sedan", "suv"], "counts": [1, 2]}
    assert SCHEMA["is_open"] == {"values": [False, True], "counts": [2, 1]}
    std = statistics.pstdev([2000, 2004, 2008])
    assert SCHEMA["year"] == {"mean": 2004, "std": pytest.approx(std), "min": 2000, "max": 2008}
    assert list(SCHEMA) == ["body", "year", "is_open"]


def test_c_is_one_hot_blocks_and_standardised_numbers_in_order():
    assert conditions.size(SCHEMA) == 5
    c = conditions.encode(SCHEMA, {"is_open": True, "year": 2008, "body": "suv"})
    assert c == pytest.approx([0, 1, 4 / statistics.pstdev([2000, 2004, 2008]), 0, 1])


def test_no_condition_is_an_empty_c():
    assert conditions.infer(ROWS, []) == {}
    assert conditions.size({}) == 0
    assert conditions.encode({}, {}) == []


def test_a_schema_survives_json():
    again = json.loads(json.dumps(SCHEMA))
    conditions.check(again)
    for row in ROWS:
        condition = {name: row[name] for name in SCHEMA}
        assert conditions.encode(again, condition) == conditions.encode(SCHEMA, condition)


@pytest.mark.parametrize("missing", [{}, {"body": None}, {"body": ""}])
def test_a_missing_value_names_the_file_and_the_column(missing):
    rows = [*ROWS, {"file_name": "d.png", "year": 1} | missing]
    with pytest.raises(ValueError, match=r"d\.png has no value for 'body'.*'is_open', 'year'"):
        conditions.infer(rows, ["body"])


@pytest.mark.parametrize("odd", ["old", True, math.nan, math.inf, [2000], 10**400])
def test_a_column_of_mixed_kinds_names_the_row(odd):
    with pytest.raises(ValueError, match=r"'year' must be text.*a finite number"):
        conditions.infer([{"year": 2000}, {"year": odd}, {"year": 2001}], ["year"])


def test_a_column_with_too_many_classes_is_refused():
    conditions.infer([{"id": f"{i}"} for i in range(512)], ["id"])
    with pytest.raises(ValueError, match="'id' needs 1 to 512 values, got 513"):
        conditions.infer([{"id": f"{i}"} for i in range(513)], ["id"])


def test_columns_that_condition_on_nothing_are_refused():
    with pytest.raises(ValueError, match="'year' is 2000 in every row"):
        conditions.infer([{"year": 2000}] * 3, ["year"])
    with pytest.raises(ValueError, match=r"\['year'\] several times"):
        conditions.infer(ROWS, ["year", "body", "year"])
    with pytest.raises(ValueError, match="got none"):
        conditions.infer([], ["year"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"unknown condition \['colour'\]; this model knows \['body', 'year'"),
        ({"body": "boat"}, r"'body' must be one of 'sedan', 'suv', got 'boat'"),
        ({"is_open": 1}, r"'is_open' must be one of False, True, got 1"),
        ({"is_open": "True"}, r"'is_open' must be one of"),
        ({"year": "2008"}, r"'year' must be a finite number, got '2008'"),
        ({"year": True}, r"'year' must be a finite number, got True"),
        ({"year": math.nan}, r"'year' must be a finite number"),
        ({"year": 1900}, r"between 1971\.34 and 2036\.66 \(the data's own range is 2000 to 2008\)"),
        ({"body": ["suv"]}, r"'body' must be one of"),
    ],
)
def test_encode_says_what_is_allowed(change, message):
    condition = {"body": "suv", "year": 2008, "is_open": True} | change
    with pytest.raises(ValueError, match=message):
        conditions.encode(SCHEMA, condition)


def test_encode_needs_every_name():
    with pytest.raises(ValueError, match=r"lacks \['body', 'is_open'\]"):
        conditions.encode(SCHEMA, {"year": 2008})


def test_a_number_may_lie_beyond_the_data():
    c = conditions.encode(SCHEMA, {"body": "suv", "year": 2020, "is_open": True})
    assert c[2] == pytest.approx(16 / SCHEMA["year"]["std"])


def test_draw_completes_a_condition_and_keeps_what_is_given():
    drawn = conditions.draw(SCHEMA, {"body": "sedan"}, random.Random(0))
    assert list(drawn) == list(SCHEMA)
    assert drawn["body"] == "sedan"
    conditions.encode(SCHEMA, drawn)
    with pytest.raises(ValueError, match="unknown condition"):
        conditions.draw(SCHEMA, {"colour": "red"}, random.Random(0))
    with pytest.raises(ValueError, match=r"a dict of names and values, got \['suv'\]"):
        conditions.draw(SCHEMA, ["suv"], random.Random(0))


def test_draw_depends_on_the_seed_alone_and_fixing_one_name_leaves_the_others():
    free = conditions.draw(SCHEMA, None, random.Random(5))
    assert conditions.draw(SCHEMA, {}, random.Random(5)) == free
    for name in SCHEMA:
        given = {name: ROWS[0][name]}
        assert conditions.draw(SCHEMA, given, random.Random(5)) == free | given
    others = [conditions.draw(SCHEMA, None, random.Random(seed)) for seed in range(20)]
    assert len({json.dumps(other) for other in others}) > 10


def test_draw_follows_the_frequencies_of_the_data():
    rng = random.Random(0)
    drawn = [conditions.draw(SCHEMA, None, rng) for _ in range(6000)]
    assert sum(d["body"] == "suv" for d in drawn) / 6000 == pytest.approx(2 / 3, abs=0.02)
    years = [d["year"] for d in drawn]
    assert statistics.mean(years) == pytest.approx(2004, abs=0.15)
    assert (min(years), max(years)) == (2000, 2008)


BAD_SCHEMAS = {
    "a list": [],
    "too many conditions": {f"c{i}": {"values": ["a"], "counts": [1]} for i in range(65)},
    "an empty name": {"": {"values": ["a"], "counts": [1]}},
    "a long name": {"n" * 201: {"values": ["a"], "counts": [1]}},
    "an entry that is no dict": {"body": ["suv"]},
    "an unknown key": {"body": {"values": ["a"], "counts": [1], "code": "x"}},
    "a missing key": {"year": {"mean": 0, "std": 1, "min": 0}},
    "no values": {"body": {"values": [], "counts": []}},
    "values that are no list": {"body": {"values": "ab", "counts": [1, 1]}},
    "too many values": {"body": {"values": [f"{i}" for i in range(513)], "counts": [1] * 513}},
    "a value too long": {"body": {"values": ["v" * 201], "counts": [1]}},
    "mixed values": {"body": {"values": ["a", True], "counts": [1, 1]}},
    "values of numbers": {"body": {"values": [1, 2], "counts": [1, 1]}},
    "repeated values": {"body": {"values": ["a", "a"], "counts": [1, 1]}},
    "too few counts": {"body": {"values": ["a", "b"], "counts": [1]}},
    "negative counts": {"body": {"values": ["a", "b"], "counts": [2, -1]}},
    "fractional counts": {"body": {"values": ["a"], "counts": [0.5]}},
    "boolean counts": {"body": {"values": ["a"], "counts": [True]}},
    "only zero counts": {"body": {"values": ["a"], "counts": [0]}},
    "huge counts": {"body": {"values": ["a"], "counts": [10**400]}},
    "no spread": {"year": {"mean": 0, "std": 0, "min": 0, "max": 1}},
    "negative spread": {"year": {"mean": 0, "std": -1, "min": 0, "max": 1}},
    "a mean that is NaN": {"year": {"mean": math.nan, "std": 1, "min": 0, "max": 1}},
    "an infinite maximum": {"year": {"mean": 0, "std": 1, "min": 0, "max": math.inf}},
    "a mean of text": {"year": {"mean": "0", "std": 1, "min": 0, "max": 1}},
    "an overflowing mean": {"year": {"mean": 10**400, "std": 1, "min": 0, "max": 1}},
    "a range upside down": {"year": {"mean": 0, "std": 1, "min": 1, "max": -1}},
    "a mean outside the range": {"year": {"mean": 5, "std": 1, "min": 0, "max": 1}},
}


@pytest.mark.parametrize("schema", BAD_SCHEMAS.values(), ids=BAD_SCHEMAS.keys())
def test_a_strangers_bad_schema_is_refused(schema):
    with pytest.raises(ValueError, match=r"must|needs"):
        conditions.check(schema)


def test_check_changes_nothing():
    before = copy.deepcopy(SCHEMA)
    conditions.check(SCHEMA)
    assert before == SCHEMA


def test_conditions_need_neither_torch_nor_numpy():
    code = "import sys, genmodels.data.conditions; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_is_left_out_is_zeros_and_not_known():
    condition = {"body": "suv", "year": 2005, "is_open": False}
    c = conditions.encode(SCHEMA, condition)  # Two numbers, one, and two.
    assert conditions.encode_known(SCHEMA, condition) == [*c, 1, 1, 1]
    del condition["year"]
    assert conditions.encode_known(SCHEMA, condition) == [*c[:2], 0, *c[3:], 1, 0, 1]
    assert conditions.encode_known(SCHEMA, {}) == [0] * 8
    with pytest.raises(ValueError, match="unknown condition"):
        conditions.encode_known(SCHEMA, {"colour": "red"})
