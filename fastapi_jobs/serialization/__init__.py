"""Exact JSON: what a task is given and what it returns come back as they were, or are refused.

The one conversion that is welcome is an int where the annotation says float. An aware datetime
comes back with the same fields and the same UTC offset, its zone as that fixed offset. Which
fields of a pydantic model were set by hand (`model_fields_set`) is not kept: all are stored.
"""

from .arguments import ArgumentsCodec
from .result import ResultCodec
from .signature import Parameter, read_parameters, read_result

__all__ = ["ArgumentsCodec", "Parameter", "ResultCodec", "read_parameters", "read_result"]
