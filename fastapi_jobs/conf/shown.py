"""How a value is shown to a person: as in TOML, with its passwords hidden."""

import json
from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from pathlib import Path

from fastapi_jobs.conf.urls import hide_password

LONGEST = 120


def shown(value: object) -> str:
    """`value` as a person would write it in TOML, without passwords, cut when very long."""
    text = hide_password(_written(value))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _written(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case int() | float() if isfinite(value):
            return str(int(value)) if value == int(value) else str(value)
        case timedelta():
            return _duration(value)
        case list() | tuple():
            return f"[{', '.join(map(_written, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{key} = {_written(value[key])}' for key in value)}}}"
    return repr(value)


def _duration(value: timedelta) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        count = value / timedelta(seconds=size)
        if count == int(count):
            return f'"{int(count)}{unit}"'
    return f'"{value.total_seconds():g}s"'
