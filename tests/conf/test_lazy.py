"""The settings of the process: loaded on first use, overridden in one context only."""

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from fastapi_jobs.conf import LazySettings, Settings, load
from fastapi_jobs.errors import SettingsError
from tests.conf.conftest import Write


@pytest.fixture
def settings() -> LazySettings:
    return LazySettings()


def test_nothing_is_loaded_before_it_is_used(settings: LazySettings, write: Write) -> None:
    assert repr(settings) == "<settings, not loaded yet>"
    assert not hasattr(settings, "__wrapped__")
    write("[default.fastapi_jobs]\nretries = 3\n")
    assert settings.retries == 3
    assert settings.environment == "development"
    assert repr(settings) == repr(settings.current())


def test_loaded_once_until_forgotten(settings: LazySettings, write: Write) -> None:
    assert settings.retries == 0
    write("[default.fastapi_jobs]\nretries = 3\n")
    assert settings.retries == 0
    settings.configure(None)
    assert settings.retries == 3
    settings.configure(load(retries=5))
    assert settings.retries == 5


def test_a_failed_load_is_tried_again(settings: LazySettings, write: Write) -> None:
    path = write("[default.fastapi_jobs]\nretries = -3\n")
    with pytest.raises(SettingsError, match="retries"):
        settings.current()
    path.unlink()
    assert settings.retries == 0


def test_unknown_attribute(settings: LazySettings) -> None:
    with pytest.raises(AttributeError, match="retrys"):
        _ = settings.retrys


def test_override_nests_and_ends(settings: LazySettings) -> None:
    with settings.override(retries=1, queues={"mail": {"paused": True}}) as outer:
        assert outer is settings.current()
        with settings.override(name="inner"):
            assert (settings.retries, settings.name) == (1, "inner")
            assert settings.current().origins["name"] == "override(name=…)"
            assert settings.current().queue("mail").paused
        assert settings.name == ""
    assert settings.retries == 0


def test_override_ends_after_an_error(settings: LazySettings) -> None:
    with pytest.raises(ZeroDivisionError), settings.override(retries=1):
        _ = 1 / 0
    assert settings.retries == 0


def test_override_is_checked(settings: LazySettings) -> None:
    with (
        pytest.raises(SettingsError, match=r"override\(retrys=…\).*Did you mean 'retries'\?"),
        settings.override(retrys=1),
    ):
        pass


async def test_override_holds_in_its_own_task_only(settings: LazySettings) -> None:
    inside, looked = asyncio.Event(), asyncio.Event()

    async def overriding() -> object:
        with settings.override(retries=1):
            inside.set()
            await looked.wait()
            return settings.retries

    running = asyncio.create_task(overriding())
    await inside.wait()
    assert settings.retries == 0
    looked.set()
    assert await running == 1


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_many_threads_load_once(settings: LazySettings) -> None:
    seen: list[Settings] = []
    together = threading.Barrier(8)

    def look() -> None:
        together.wait(timeout=30)
        seen.append(settings.current())

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(each is seen[0] for each in seen)
