"""What an exact type takes, its model takes as well, with the same values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from catalogdb.exact import exact


def not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


class Inner(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore")

    name: str
    count: Annotated[int, BeforeValidator(not_a_bool), Field(ge=0)] = 3
    share: Annotated[float, BeforeValidator(not_a_bool), Field(le=1, allow_inf_nan=False)] | None = None


class Outer(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore")

    version: Annotated[Literal["1.0"], BeforeValidator(str)] = "1.0"
    inner: Inner
    sizes: list[Annotated[int, BeforeValidator(not_a_bool)]] = Field(default_factory=list)
    numbers: dict[str, Annotated[float, BeforeValidator(not_a_bool)]] = Field(default_factory=dict)
    flag: bool = True


EXACT = exact(Outer)

scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, 7.5, "1.0", " a ", "5", "true"])
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), scalars, max_size=2)


def some(**fields: Any) -> Any:
    """A mapping with any of these fields, and now and then one that nobody knows."""
    return st.fixed_dictionaries({}, optional={**fields, "other": anything})


inner = some(name=st.just(" a ") | scalars, count=st.integers(0, 3) | scalars, share=st.floats(0, 1) | scalars)
outer = some(
    version=st.just("1.0") | scalars,
    inner=inner | anything,
    sizes=st.lists(st.integers(), max_size=2) | anything,
    numbers=st.dictionaries(st.text(max_size=2), st.floats(0, 1) | st.integers(), max_size=2) | anything,
    flag=st.booleans() | anything,
)


@given(outer)
def test_what_it_takes_the_model_takes(document: dict[str, Any]) -> None:
    try:
        taken = EXACT.validate_python(document)
    except ValidationError:
        return
    dumped = Outer.model_validate(document).model_dump(exclude_unset=True, exclude_none=True)
    assert repr(sorted(taken.items())) == repr(sorted(dumped.items()))


def test_values_of_the_right_types_are_taken_and_none_is_filled_in() -> None:
    document = {"version": "1.0", "inner": {"name": " a ", "count": 0, "x": 1}, "numbers": {"a": 1}, "flag": False}
    assert EXACT.validate_python(document) == {
        "version": "1.0",
        "inner": {"name": "a", "count": 0},
        "numbers": {"a": 1.0},
        "flag": False,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 1.0},
        {"version": None},
        {"inner": None},
        {"inner": {"name": "a", "count": True}},
        {"inner": {"name": "a", "count": "5"}},
        {"inner": {"name": "a", "count": 1.0}},
        {"inner": {"name": "a", "count": -1}},
        {"inner": {"name": "a", "share": None}},
        {"inner": {"name": "a", "share": float("nan")}},
        {"inner": {"count": 1}},
        {"sizes": (1,)},
        {"sizes": [True]},
        {"numbers": {"a": True}},
        {"flag": 1},
    ],
)
def test_what_has_another_type_is_left_to_the_model(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EXACT.validate_python({"inner": {"name": "a"}, **changed})
