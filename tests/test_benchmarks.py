"""Every benchmark runs, small and once, so that none can rot. Nothing here looks at a clock."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import floors, harness, throughput
from benchmarks.__main__ import FIGURES, parsed
from benchmarks.harness import Bench, Row, at_least, below, percentile, table
from tests.servers import PostgresServer


@pytest.fixture
def bench(postgres: PostgresServer) -> Iterator[Bench]:
    """Tiny, once, on both databases, without what comes from a package index."""
    with ExitStack() as databases:
        yield Bench(
            lambda: databases.enter_context(postgres.fresh_database()),
            scale=0.001,
            rounds=1,
            seconds=0.1,
            peers=False,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_measured(name: str, bench: Bench) -> None:
    rows = FIGURES[name](bench)
    assert rows
    assert all(any(sign.isdigit() for sign in row.ours) for row in rows)
    assert bench.raw
    assert json.loads(json.dumps(bench.raw)) == bench.raw


def test_variants_are_interleaved(bench: Bench) -> None:
    order: list[str] = []

    def run(name: str) -> Callable[[], harness.Raw]:
        return lambda: {"n": order.append(name)}  # type: ignore[func-returns-value]

    bench.rounds = 2
    bench.interleave({"a": run("a"), "b": run("b")})
    assert order == ["a", "b", "a", "b"]


def test_each_run_is_a_process_of_its_own(bench: Bench) -> None:
    with bench.database("sqlite") as url:
        first = bench.run("floor", "floors:sqlite_floor", url=url, durability="full", jobs=10)
    with bench.database("sqlite") as url:
        bench.run("floor", "floors:sqlite_floor", url=url, durability="full", jobs=10)
    assert first["rate"] > 0
    assert [run["rate"] > 0 for run in bench.raw["floor"]] == [True, True]


def test_a_failing_run_says_why(bench: Bench) -> None:
    with pytest.raises(
        RuntimeError, match=r"floors:sqlite_floor ended with 1:(.|\n)*unable to open"
    ):
        bench.run(
            "x", "floors:sqlite_floor", url="sqlite:////no such dir/x", durability="no", jobs=1
        )


def test_rows_judge_their_targets() -> None:
    assert at_least("f", 30, 100, 0.25, "jobs/s, floor").met
    assert not at_least("f", 20, 100, 0.25, "jobs/s, floor").met
    assert at_least("f", 30, 100, 0.25, "jobs/s, floor").baseline == "100 floor"
    assert below("f", 4.9, 5, "ms").met
    assert not below("f", 5, 5, "ms").met


def test_percentiles() -> None:
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(range(1, 101), 95) == 96
    assert percentile([7], 99) == 7


def test_the_table_shows_what_was_missed() -> None:
    lines = table([Row("one", "1", met=False), Row("two", "2", met=True)]).splitlines()
    assert lines[0].replace(" ", "") == "|figure|ours|baseline|ratio|target|met?|"
    assert lines[2].endswith("NO   |")
    assert len({len(line) for line in lines}) == 1


def test_raw_runs_are_kept_with_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "RAW", tmp_path)
    kept = harness.keep("x", Bench(None, raw={"a": [{"n": 1}]}), [Row("x", "1")], harness.machine())
    content = json.loads(kept.read_text())
    assert content["runs"] == {"a": [{"n": 1}]}
    assert {"cores", "python", "sqlite", "packages"} <= content["machine"].keys()


def test_the_command_line_knows_the_figures() -> None:
    assert parsed(["http", "--quick"]).names == ["http"]
    assert parsed([]).names == []
    with pytest.raises(SystemExit):
        parsed(["nothing"])


def test_the_floor_writes_what_ours_writes(tmp_path: Path) -> None:
    assert floors.INSERT.count("?") == 13
    assert throughput.ENQUEUERS == 100
