"""The command that makes a user of the admin site."""

import tomllib
from typing import Any

import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from fastapi_jobs.cli.commands import make_app
from fastapi_jobs.conf import load
from tests.cli.command import Site

PASSWORD = "a quiet harbour"


def made(*words: str, given: str = f"{PASSWORD}\n") -> Any:
    return CliRunner().invoke(make_app(), ["admin-password", *words], input=given)


def user_of(printed: str) -> dict[str, Any]:
    users: dict[str, Any] = tomllib.loads(printed)["default"]["fastapi_jobs"]["admin"]["users"]
    return users


@pytest.mark.parametrize("name", ["anna", "anna.b", "anna@example.com", 'a"b\\c', "ü"])
def test_what_it_prints_is_a_user(name: str) -> None:
    done = made(name, "--stdin", "--role", "operator")
    assert done.exit_code == 0, done.output
    user = user_of(done.stdout)[name]
    assert user["role"] == "operator"
    assert PasswordHasher().verify(user["password_hash"], PASSWORD)
    assert PASSWORD not in done.output
    settings = load(database_url="sqlite:///x.db", admin={"users": user_of(done.stdout)})
    assert settings.admin.users[name].role == "operator"


def test_it_asks_twice_and_keeps_stdout_for_the_table() -> None:
    done = made(given=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert list(user_of(done.stdout)) == ["admin"]
    assert "Password" in done.stderr


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["anna", "--stdin"], "short\n", "A password has at least 8 characters."),
        (["anna", "--stdin"], "", "A password has at least 8 characters."),
        (["anna", "--role", "amdin"], "", "must be one of viewer, operator, admin."),
        (["anna"], "one of them\nanother one\n", "do not match"),
    ],
)
def test_what_it_refuses(words: list[str], given: str, said: str) -> None:
    done = made(*words, given=given)
    assert done.exit_code != 0
    assert said in " ".join(done.output.replace("│", " ").split())
    assert done.stdout == "" or "password_hash" not in done.stdout


def test_the_real_command(sqlite_site: Site) -> None:
    """It needs neither settings nor a database."""
    (sqlite_site.folder / "settings.toml").write_text("[default.fastapi_jobs]\nbackend = 3\n")
    done = sqlite_site.run("admin-password", "--role", "boss")
    assert (done.returncode, "viewer, operator, admin" in done.stderr) == (2, True)
