"""The default key of a unique job: equal for equal arguments, in whatever process."""

import dataclasses
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field

from fastapi_jobs.serialization import ArgumentsCodec

ONE_WAY, OTHER_WAY = [0, 8], [8, 0]
"""Two ints that fall on the same place of a set: it keeps them in the order in which they came."""


class Names(RootModel[frozenset[int]]):
    model_config = ConfigDict(frozen=True)


class Team(BaseModel):
    model_config = ConfigDict(extra="allow")
    members: set[int] = Field(alias="people")
    ranks: list[int] = [2, 1]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return len(self.members)


@dataclasses.dataclass(frozen=True)
class Box:
    holds: frozenset[int]
    sizes: tuple[int, ...] = (9, 3)


def key(annotation: Any, value: object) -> str:
    """The canonical text of a call with this one argument."""

    def function(it: Any) -> None: ...

    function.__annotations__["it"] = annotation
    codec = ArgumentsCodec("t", function)
    return codec.canonical(codec.dump([value], {}))


def test_such_a_set_keeps_its_order() -> None:
    assert set(ONE_WAY) == set(OTHER_WAY)
    assert [*set(ONE_WAY)] != [*set(OTHER_WAY)]


@pytest.mark.parametrize(
    ("annotation", "make", "text"),
    [
        (set[int], set, "[0,8]"),
        (frozenset[int], frozenset, "[0,8]"),
        (dict[str, set[int]], lambda n: {"a": set(n), "b": {1}}, '{"a":[0,8],"b":[1]}'),
        (dict[int, set[int]], lambda n: {2: set(n), 1: {7}}, '{"1":[7],"2":[0,8]}'),
        (list[set[int]], lambda n: [{5}, set(n)], "[[5],[0,8]]"),
        (deque[set[int]], lambda n: deque([set(n)]), "[[0,8]]"),
        (tuple[int, set[int]], lambda n: (7, set(n)), "[7,[0,8]]"),
        (frozenset[frozenset[int]], lambda n: frozenset([frozenset(n)]), "[[0,8]]"),
        (set[tuple[int, Names]], lambda n: {(1, Names(frozenset(n)))}, "[[1,[0,8]]]"),
        (Team, lambda n: Team(people=set(n)), '{"members":[0,8],"ranks":[2,1]}'),
        (set[Box], lambda n: {Box(frozenset(n))}, '[{"holds":[0,8],"sizes":[9,3]}]'),
        (Team | None, lambda n: Team.model_validate({"people": set(n), "more": 1}), None),
    ],
)
def test_the_order_of_a_set_does_not_matter(annotation: Any, make: Any, text: str | None) -> None:
    one, other = (key(annotation, make(order)) for order in (ONE_WAY, OTHER_WAY))
    assert one == other
    assert text is None or one == f'{{"it":{text}}}'


@pytest.mark.parametrize("kind", [list[int], tuple[int, ...], deque[int]])
def test_any_other_order_does(kind: Any) -> None:
    values: Sequence[Any] = [(kind.__origin__)(order) for order in (ONE_WAY, OTHER_WAY)]
    assert key(kind, values[0]) != key(kind, values[1])


PROCESS = """
import sys
from fastapi_jobs import FastAPIJobs, task

@task(name="canonical.send", unique=True)
def send(words: set[str]) -> None: ...

with FastAPIJobs(database_url=sys.argv[1], dispatch=False):
    print(send.enqueue_sync({"ada", "bob", "eve", "ida", "kim"}).id)
"""


def test_in_other_processes_too(sqlite_url: str) -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROCESS, sqlite_url],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(said) == 1
