"""`python -m benchmarks [names…] [--quick] [--postgres URL | --no-postgres]`: one table."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from benchmarks import (
    admin_site,
    celery_concurrency,
    celery_throughput,
    celery_times,
    importing,
    latency,
    lists,
    memory,
    over_http,
    process_calls,
    throughput,
)
from benchmarks.harness import Bench, Row, keep, machine, table

FIGURES: dict[str, Callable[[Bench], list[Row]]] = {
    "throughput": throughput.rows,
    "http": over_http.rows,
    "latency": latency.rows,
    "memory": memory.rows,
    "lists": lists.rows,
    "admin": admin_site.rows,
    "process": process_calls.rows,
    "import": importing.rows,
    "celery-concurrency": celery_concurrency.rows,
    "celery": celery_throughput.rows,
    "celery-times": celery_times.rows,
}


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *FIGURES], help="figures; default all")
    parser.add_argument("--quick", action="store_true", help="small and once: a look, no figure")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each variant (default 5)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--postgres", metavar="URL", help="a server; else one is started")
    where.add_argument("--no-postgres", action="store_true", help="measure SQLite alone")
    return parser.parse_args(arguments)


@contextmanager
def databases_of(url: str | None) -> Iterator[Callable[[], str]]:
    """Gives URLs of empty databases: on the server of `url`, else on one started here."""
    if url is None:
        from tests.servers import PostgresServer, find_postgres

        with PostgresServer(find_postgres(), fsync=True) as server:
            yield lambda: server.url(server.create_database())
        return
    import psycopg
    from psycopg import sql
    from sqlalchemy import make_url

    server_url = make_url(url).set(drivername="postgresql")
    made: list[str] = []

    def execute(statement: str, name: str) -> None:
        plain = server_url.render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    def create() -> str:
        made.append(f"bench_{uuid4().hex}")
        execute("CREATE DATABASE {}", made[-1])
        new = server_url.set(drivername="postgresql+psycopg", database=made[-1])
        return new.render_as_string(hide_password=False)

    try:
        yield create
    finally:
        for name in made:
            execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, keep the raw runs, print the table; 1 when a figure is missed."""
    options = parsed(arguments)
    names = options.names or list(FIGURES)
    rows: list[Row] = []
    with ExitStack() as stack:
        postgres = None
        if not options.no_postgres:
            postgres = stack.enter_context(databases_of(options.postgres))
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            bench = Bench(postgres, rounds=options.rounds)
            if options.quick:
                bench.scale, bench.rounds, bench.seconds = 0.02, 1, 1.0
            facts = machine()
            found = FIGURES[name](bench)
            rows += found
            if not options.quick:
                path = keep(name, bench, found, facts)
                print(f"  raw runs: {path.relative_to(Path.cwd())}", file=sys.stderr)
            print(table(found), file=sys.stderr, flush=True)
    print(table(rows))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
