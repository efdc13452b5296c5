"""Annotations that are strings until somebody reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

from fastapi_jobs.errors import TaskDefinitionError
from fastapi_jobs.serialization import ArgumentsCodec, ResultCodec

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Stay:
    nights: list[date]


def book(stay: Stay, *more: Stay) -> tuple[Stay, ...]:
    return (stay, *more)


@wraps(book)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return book(*args, **kwargs)


def pay(amount: Decimal) -> None: ...


def repay() -> Decimal:
    raise NotImplementedError


@pytest.mark.parametrize("function", [book, wrapped])
def test_postponed_annotations_are_resolved(function: Any) -> None:
    stay = Stay([date(2024, 1, 1)])
    codec = ArgumentsCodec("t", function)
    args, kwargs = codec.load(codec.dump([stay, stay], {}))
    assert (args, kwargs) == ([stay, stay], {})
    results = ResultCodec("t", function)
    assert results.load(results.dump(function(*args))) == (stay, stay)


def test_a_name_that_only_the_type_checker_knows_is_named() -> None:
    with pytest.raises(TaskDefinitionError) as caught:
        ArgumentsCodec("shop.pay", pay)
    assert str(caught.value) == (
        "task 'shop.pay', parameter 'amount': the name 'Decimal' in its annotation is not known "
        "in the task's module. Import it there, outside `if TYPE_CHECKING` and outside functions."
    )
    with pytest.raises(TaskDefinitionError, match=r"'shop\.repay', the return annotation"):
        ResultCodec("shop.repay", repay)
