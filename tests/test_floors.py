"""The laws of the imports. A new module? Add its name to FLOORS, and nothing else.

A floor names whole files or sub-packages of fastapi_jobs/. A file imports only from lower floors,
from its own package, and from its own floor as long as no circle arises.
"""

from pathlib import Path

import pytest

from tests.floors import Building, Library

FLOORS = {
    8: "__init__ __main__ app cli celery_app _child pytest_plugin",
    7: "api admin background testing observers",
    6: "explaining tasks handle current enqueueing in_session runtime using waiting celery_worker"
    " celery_consumer celery_control",
    5: "attempts calls claiming making_way dispatcher hearing relay by_hand by_message worker"
    " checks lifecycle_log",
    4: "backends",
    3: "runner injection capture reports offers",
    2: "store registry",
    1: "listing models conf retry options serialization context signals channel logged",
    0: "status errors clock wording failpoints process_identity slots heap stop_signals",
}

CELERY = (
    "backends.celery_broker",
    "celery_worker",
    "celery_consumer",
    "celery_control",
    "celery_app",
)
WEB = ("api", "admin", "background", "app", "testing")
SESSIONS = {
    "": (
        # The types of using(session=...), which users see in the signature.
        "sqlalchemy.orm.Session",
        "sqlalchemy.ext.asyncio.AsyncSession",
        "sqlmodel.Session",
        "sqlmodel.ext.asyncio.session.AsyncSession",
    )
}

LIBRARIES = {
    "sqlalchemy": Library(
        ("models", "store"), "All SQL is in the store, where each move is guarded.", SESSIONS
    ),
    "sqlmodel": Library(
        ("models", "store"), "All SQL is in the store, where each move is guarded.", SESSIONS
    ),
    "sqlite3": Library(("store",), "All SQL is in the store."),
    "psycopg": Library(("store",), "All SQL is in the store."),
    "alembic": Library(("store",), "The schema is the store's.", at_top=("store.migrations",)),
    "dynaconf": Library(
        ("conf",), "Settings are read once, at the edge; below, plain values.", at_top=()
    ),
    "fastapi": Library(
        WEB,
        "Jobs run in workers that serve no requests.",
        # Depends marks an injected parameter in tasks as it does in endpoints.
        {"injection": ("fastapi.params",)},
    ),
    "starlette": Library(WEB, "Jobs run in workers that serve no requests."),
    "sqladmin": Library(("admin", "app"), "Only the admin site needs it.", at_top=("admin",)),
    "celery": Library(CELERY, "Celery is one backend of several.", at_top=CELERY),
    "kombu": Library(CELERY, "Celery is one backend of several.", at_top=CELERY),
    "redis": Library((*CELERY, "store.redis_hints"), "Only brokers and hints need it.", at_top=()),
    "typer": Library(("cli",), "Only the command line needs it.", at_top=("cli",)),
    "click": Library(("cli",), "Only the command line needs it.", at_top=("cli",)),
    "rich": Library(("cli",), "Only the command line needs it.", at_top=("cli",)),
    "pickle": Library(
        ("backends", "_child"), "Only a parent and its own child may; all else is JSON."
    ),
}

PACKAGE = Path(__file__).parent.parent / "fastapi_jobs"


def test_the_package_keeps_the_floors() -> None:
    building = Building(PACKAGE, FLOORS, LIBRARIES)
    assert building.imports() or len(building.modules) < 5, "the checker reads no imports"
    assert building.problems() == []


def problems(folder: Path, files: dict[str, str]) -> list[str]:
    """What the checker says to a made-up package."""
    package = folder / "fastapi_jobs"
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return Building(package, FLOORS, LIBRARIES).problems()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("store/jobs.py", "from fastapi_jobs.status import MOVES"),
        ("store/jobs.py", "from fastapi_jobs.store.engine import Engine"),
        ("store/jobs.py", "from .engine import Engine"),
        ("store/jobs.py", "from ..status import MOVES"),
        ("store/migrations/env.py", "from alembic import context"),
        ("store/jobs.py", "import sqlalchemy as sa"),
        ("tasks.py", "from sqlalchemy.orm import Session"),
        ("injection.py", "from fastapi.params import Depends"),
        ("injection.py", "from fastapi import params"),
        ("conf/loading.py", "def load():\n    from dynaconf import Dynaconf"),
        ("cli/__init__.py", "import typer"),
        ("backends/celery_broker.py", "from celery import Celery"),
        ("app.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sqladmin"),
        ("status.py", "import enum"),
        ("__init__.py", "if TYPE_CHECKING:\n    from .status import X"),
    ],
)
def test_what_is_allowed(tmp_path: Path, file: str, line: str) -> None:
    others = {"store/__init__.py": "", "store/engine.py": "", "status.py": ""}
    assert problems(tmp_path, {**others, file: line}) == []


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("store/jobs.py", "from fastapi_jobs.app import X", "from floor 2 up to floor 8"),
        ("store/jobs.py", "from fastapi_jobs import X", "from floor 2 up to floor 8"),
        ("store/jobs.py", "from fastapi_jobs import app", "imports fastapi_jobs.app"),
        ("store/jobs.py", "import fastapi_jobs.app", "from floor 2 up to floor 8"),
        ("store/jobs.py", "from ..app import X", "from floor 2 up to floor 8"),
        ("store/__init__.py", "from ..app import X", "from floor 2 up to floor 8"),
        ("retry.py", "from . import app", "from floor 1 up to floor 8"),
        (
            "retry.py",
            "def f():\n    import fastapi_jobs.app",
            "retry:2 imports fastapi_jobs.app in",
        ),
        ("retry.py", "import importlib\nimportlib.import_module('fastapi_jobs.app')", "retry:2"),
        ("retry.py", "if TYPE_CHECKING:\n    from .app import X", "under TYPE_CHECKING"),
        ("cli.py", "if t.TYPE_CHECKING:\n    from .app import X", "this hides a circle"),
        ("runner.py", "import sqlalchemy", "only models, store may. All SQL is in the store"),
        ("tasks.py", "from sqlalchemy.orm import Session, select", "sqlalchemy.orm.select"),
        ("admin/views.py", "from sqlmodel import select", "All SQL is in the store"),
        ("runner.py", "from dynaconf import Dynaconf", "only conf may. Settings are read once"),
        ("conf.py", "from dynaconf import Dynaconf", "it is slow to load"),
        ("conf.py", "try:\n    import dynaconf\nexcept ImportError: ...", "it is slow to load"),
        ("conf.py", "class A:\n    import dynaconf", "it is slow to load"),
        ("injection.py", "from fastapi import Depends", "only api, admin, background, app"),
        ("backends/thread.py", "import celery", "only backends.celery_broker, celery_worker"),
        ("app.py", "import sqladmin", "it is slow to load"),
        ("app.py", "def f():\n    import rich.table", "only cli may"),
        ("store/engine.py", "import alembic", "it is slow to load"),
        ("serialization.py", "import pickle", "all else is JSON"),
        ("novelty.py", "", "novelty has no floor. Add it to FLOORS in tests/test_floors.py"),
        ("novelty/deep.py", "", "novelty has no floor"),
    ],
)
def test_what_is_found(tmp_path: Path, file: str, line: str, sentence: str) -> None:
    found = problems(tmp_path, {"__init__.py": "", "app.py": "", file: line})
    assert sentence in " ".join(found), found


@pytest.mark.parametrize(
    "files",
    [
        {"store/a.py": "from fastapi_jobs.store.b import x", "store/b.py": "from .a import x"},
        {"store/__init__.py": "from .a import x", "store/a.py": "from fastapi_jobs.store import y"},
        {
            "dispatcher.py": "from fastapi_jobs.worker import x",
            "worker.py": "from fastapi_jobs.checks import x",
            "checks.py": "def late():\n    from fastapi_jobs.dispatcher import x",
        },
    ],
)
def test_circles_are_found(tmp_path: Path, files: dict[str, str]) -> None:
    found = problems(tmp_path, files)
    assert ["circle" in problem for problem in found] == [True], found


def test_a_circle_is_drawn_in_the_order_of_its_imports(tmp_path: Path) -> None:
    files = {"dispatcher.py": "import fastapi_jobs.worker", "worker.py": "from . import dispatcher"}
    assert problems(tmp_path, files) in (
        ["These import each other in a circle: dispatcher -> worker -> dispatcher"],
        ["These import each other in a circle: worker -> dispatcher -> worker"],
    )
