"""The admin site of the example, and who gets in."""

import pytest
from argon2 import PasswordHasher

from example_project.places import SETTINGS
from example_project.screen import DEMO_PASSWORD, DEMO_USER
from fastapi_jobs.conf import load


def test_the_printed_password_is_the_one_of_the_settings() -> None:
    user = load(SETTINGS).admin.users[DEMO_USER]
    assert user.role == "admin"
    assert PasswordHasher().verify(user.password_hash, DEMO_PASSWORD)


def test_production_knows_no_password_that_everybody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    assert load(SETTINGS).admin.users == {}
