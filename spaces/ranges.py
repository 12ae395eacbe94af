"""A range as it is written in a spec: ``{low, high, log, step}`` or ``{choices: [...]}``, both with ``when``."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from pruning_core.config import Settings
from spaces.fields import Value

__all__ = ["Range"]

_FORMS = "{low: 0.3, high: 0.8}, optionally with log: true or step: 0.1, or {choices: [1, 2, 4]}"
_CONDITION = "{FIELD: VALUE} or {FIELD: [VALUE, VALUE]}, such as {method: interpretation_steered}"


def _single_value(value: object) -> object:
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise ValueError(f"must be single values (text, numbers, true, false, null), but got {value!r}")
    return value


def _as_condition(when: object) -> object:
    if not isinstance(when, dict):
        raise ValueError(f"must be {_CONDITION}, but got {when!r}")
    condition = {name: one if isinstance(one, (list, tuple)) else (one,) for name, one in when.items()}
    for name, allowed in condition.items():
        if not allowed:
            raise ValueError(f"must be {_CONDITION}, but got no value for {name}")
        for place, value in enumerate(allowed):
            _single_value(value)
            if value in allowed[:place]:
                raise ValueError(f"values must differ, but {value!r} is there twice")
    return condition


class Range(Settings):
    """What one field may be.

    Either ``choices``, or ``low`` and ``high`` (both included), evenly or on a ``log`` scale, on a grid of
    ``step`` from ``low`` if that is set. Whether the numbers are whole is up to the field that varies. Ends may be
    written as the field itself is (``20M`` for a budget).

    ``prior``: a value that is believed to be good; the first proposals of a search lie near it.
    ``when``: field to value or values; the range exists only in configurations in which those fields, which must vary
    over ``choices``, have one of these values. In others the field is what the run says.
    """

    low: int | float | str | None = None
    high: int | float | str | None = None
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None
    choices: tuple[Annotated[Value, BeforeValidator(_single_value)], ...] | None = None
    prior: Annotated[Value, BeforeValidator(_single_value)] = None
    when: Annotated[dict[str, tuple[Value, ...]], BeforeValidator(_as_condition)] = Field(
        default_factory=dict
    )

    @model_validator(mode="before")
    @classmethod
    def _is_a_mapping(cls, data: object) -> object:
        if not isinstance(data, dict):
            raise ValueError(f"a range must be {_FORMS}, but got {data!r}")
        return data

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        bounds = self.low is not None and self.high is not None
        if self.choices is None:
            if not bounds:
                raise ValueError(f"a range must be {_FORMS}, but got {self.written()}")
            if self.log and self.step is not None:
                raise ValueError("only one of log and step may be set")
        elif self.low is not None or self.high is not None or self.log or self.step is not None:
            raise ValueError(
                f"choices stand alone, without low, high, log and step, but got {self.written()}"
            )
        elif not self.choices:
            raise ValueError("choices must name at least one value, but got []")
        return self

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that decide whether the whole range is allowed: all choices, or low and high."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def written(self) -> dict[str, object]:
        """Return the range as it is written in a spec, without what was left out."""
        return self.model_dump(mode="json", exclude_unset=True)
