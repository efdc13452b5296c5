"""Whatever is written into the settings: they load, or a SettingsError says what is wrong."""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastapi_jobs.conf import Settings, describe, from_json, load, to_json
from fastapi_jobs.conf.shape import known_keys
from fastapi_jobs.errors import SettingsError

NAMES = st.one_of(
    st.sampled_from([part for key in known_keys() for part in key.split(".")]),
    st.sampled_from(["mail", "a.b", "Mail", "database_url_file", "a b", "redis_url_file"]),
    st.text(max_size=5),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.timedeltas(),
    st.sampled_from(["celery", "0", "1d", "sqlite:///x", "redis://:secret@h", "../x", "x\x00y"]),
    st.lists(st.text(max_size=3), max_size=2),
    st.just(timedelta.max),
)
VALUES = st.recursive(LEAVES, lambda below: st.dictionaries(NAMES, below, max_size=3), max_leaves=6)
OVERRIDES = st.dictionaries(NAMES.filter(lambda name: name != "settings"), VALUES, max_size=4)


def tried(base: Settings | None, overrides: dict[str, Any]) -> Settings | None:
    refused: SettingsError | None = None
    try:
        return load(base, **overrides)
    except SettingsError as error:
        refused = error
    assert refused.problems
    assert "secret@" not in str(refused)
    return None


@settings(max_examples=150, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(OVERRIDES, OVERRIDES)
def test_junk_is_refused_with_a_sentence(
    first: dict[str, object], second: dict[str, object]
) -> None:
    loaded = tried(None, first)
    if loaded is not None:
        assert from_json(to_json(loaded)) == loaded
        assert describe(loaded)
        tried(loaded, second)
    tried(load(queues={"a.b": {"paused": True}}, routes={"x.*": "a.b"}), second)
