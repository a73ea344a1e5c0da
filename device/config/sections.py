"""What every section of the settings has in common: it refuses unknown keys and tells all its wrongs at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, Strict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, to_jsonable_python

Pin = Annotated[int, Strict(), Field(ge=0, le=27)]
"""A GPIO number as Broadcom counts (GPIO17 is 17)."""
Switch = Annotated[bool, Strict()]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1)]
Probability = Fraction
Seconds = Annotated[float, Strict(), Field(ge=0, le=3600)]
Degrees = Annotated[float, Strict(), Field(ge=-180, le=180)]
Milliseconds = Annotated[float, Strict(), Field(ge=0.3, le=3)]
NAME = r"^[a-z][a-z0-9_-]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]
"""How a material or a compartment is called in files and events; the page shows its label."""
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(_[A-Za-z]{2,4})?$")]
"""As Babel names it: en, id, pt_BR."""
Cost = Annotated[float, Strict(), Field(ge=0, le=1000)]


class Wrong(NamedTuple):
    """Settings that are each allowed but do not go together; `key` leads to the one that is blamed."""

    key: tuple[str, ...]
    value: Any
    sentence: str


def must_reach(values: Mapping[str, Any], larger: str, smaller: str) -> Iterator[Wrong]:
    """Two keys of one table, of which the first must be at least the second."""
    if values[larger] < values[smaller]:
        yield Wrong((larger,), values[larger], f"must not be smaller than {smaller} ({values[smaller]})")


class Section(BaseModel):
    """One table of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def disagreements(cls, values: Mapping[str, Any]) -> list[Wrong]:
        """What does not go together among the section's settings.

        `values` holds every field. One that is itself wrong is NaN, which no comparison blames a second time; a
        table in which something is wrong is as it was given.
        """
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _tell_all_wrongs_at_once(cls, given: Any, check: ModelWrapValidatorHandler[Section]) -> Section:
        try:
            section = check(given)
        except ValidationError as fault:
            if not isinstance(given, Mapping):
                raise
            errors = fault.errors()
            values = cls._as_far_as_right(given, errors)
        else:
            errors, values = [], section.model_dump()
        lines = [_line(error["type"], error["loc"], error["input"], error["msg"]) for error in errors]
        lines += [_line("disagreement", *wrong) for wrong in cls.disagreements(values)]
        if lines:
            raise ValidationError.from_exception_data(cls.__name__, lines)
        return section

    @classmethod
    def _as_far_as_right(cls, given: Mapping[str, Any], errors: list[Any]) -> dict[str, Any]:
        values = {
            name: math.nan if field.is_required() else to_jsonable_python(field.get_default(call_default_factory=True))
            for name, field in cls.model_fields.items()
        }
        values |= {name: value for name, value in given.items() if name in cls.model_fields}
        return values | {error["loc"][0]: math.nan for error in errors if len(error["loc"]) == 1}


def _line(kind: str, key: tuple[int | str, ...], value: Any, sentence: str) -> InitErrorDetails:
    plain = PydanticCustomError(kind, sentence)
    return InitErrorDetails(type=plain, loc=key, input=value)
