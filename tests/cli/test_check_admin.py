"""What `check` says of the admin site."""

from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs.checks.place import judge_admin
from fastapi_jobs.conf import load
from tests.admin.serving import USERS


def found(admin: dict[str, Any]) -> dict[str, str]:
    settings = load(database_url="sqlite:///jobs.db", admin=admin)
    return {f"{each.level} {each.code}": each.text for each in judge_admin(settings)}


def test_it_is_judged_where_others_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    year = {"session_seconds": 366 * 86_400}
    assert found(year) == {}
    (tmp_path / "settings.toml").write_text("[production.fastapi_jobs]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    assert found({"users": USERS}) == {}
    assert found({"enabled": False}) == {}
    said = found(year)
    assert "Make one: fastapi-jobs admin-password NAME" in said["note admin-users"]
    assert said["warning admin-sessions"].startswith(
        "admin.session_seconds = 31,622,400 (FastAPIJobs(admin=…)): "
        "a login lasts longer than 7 days"
    )
