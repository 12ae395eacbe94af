"""A written range as an Optuna distribution, and what one asks of that: its size, whether it holds a value."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pruning_core.errors import InvalidSettingsError
from spaces.fields import Value
from spaces.ranges import Range

__all__ = ["describe", "holds", "make_distribution", "num_values", "suggest"]


def make_distribution(key: str, declared: Range, ends: Sequence[object]) -> BaseDistribution:
    """Turn a range into a distribution.

    Args:
        key: The quoted name that messages start with.
        declared: The range as written.
        ends: What the settings made of ``declared.ends``; their type says whether numbers are whole.

    Raises:
        InvalidSettingsError: The range is empty, or has a form that its field cannot take.
    """
    if declared.choices is not None:
        return _choices(key, ends)
    low, high = ends
    if isinstance(low, float) and isinstance(high, float):
        return _float_range(key, low, high, declared)
    if _is_whole(low) and _is_whole(high):
        assert isinstance(low, int)
        assert isinstance(high, int)
        return _int_range(key, low, high, declared)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and not isinstance(low, bool):
        raise InvalidSettingsError(
            f"{key}: low and high must both be shares in (0, 1] or both be amounts, but got {declared.low} and "
            f"{declared.high}"
        )
    raise InvalidSettingsError(
        f"{key}: is not a number, so it needs {{choices: [...]}}, but got {low!r} as low"
    )


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Value:
    """Draw a value through Optuna's trial."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
    raise AssertionError(f"unknown distribution {distribution}")


def num_values(distribution: BaseDistribution) -> int | None:
    """Return how many different values there are; None if the range is continuous."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step):
            return (high - low) // step + 1
        case FloatDistribution(low=low, high=high, step=step) if step is not None:
            return round((high - low) / step) + 1
    return None


def holds(distribution: BaseDistribution, value: object) -> bool:
    """Return whether the distribution could have given the value."""
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if not distribution.low <= value <= distribution.high:
        return False
    if distribution.step is None:
        return True
    num_steps = (value - distribution.low) / distribution.step
    return abs(num_steps - round(num_steps)) < 1e-8


def describe(distribution: BaseDistribution) -> str:
    """Say what a field may be: ``one of 1, 2, 4`` or ``between 0.3 and 0.8``."""
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {', '.join(str(choice) for choice in distribution.choices)}"
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    step = distribution.step
    grid = f" in steps of {step}" if step is not None and step != 1 else ""
    scale = ", log scale" if distribution.log else ""
    return f"between {distribution.low} and {distribution.high}{grid}{scale}"


def _choices(key: str, values: Sequence[object]) -> CategoricalDistribution:
    choices: list[Value] = []
    for value in values:
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise InvalidSettingsError(
                f"{key}: holds several values at once, so it cannot vary; set it in run"
            )
        if value in choices:
            raise InvalidSettingsError(f"{key}: choices must differ, but {value!r} is there twice")
        choices.append(value)
    return CategoricalDistribution(choices)


def _float_range(key: str, low: float, high: float, declared: Range) -> FloatDistribution:
    _check_order(key, low, high, log=declared.log)
    if declared.step is not None:
        num_steps = max(1, round((high - low) / declared.step))
        if abs(low + num_steps * declared.step - high) > 1e-9 * max(1.0, abs(high)):
            raise InvalidSettingsError(
                f"{key}: high must be low plus whole steps of {declared.step}, such as "
                f"{low + num_steps * declared.step:g}, but got {high}"
            )
    return FloatDistribution(low, high, log=declared.log, step=declared.step)


def _int_range(key: str, low: int, high: int, declared: Range) -> IntDistribution:
    _check_order(key, low, high, log=declared.log)
    step = 1 if declared.step is None else int(declared.step)
    if declared.step is not None and step != declared.step:
        raise InvalidSettingsError(f"{key}: step must be whole, as the field is, but got {declared.step}")
    if (high - low) % step:
        nearest = low + max(1, (high - low) // step) * step
        raise InvalidSettingsError(
            f"{key}: high must be low plus whole steps of {step}, such as {nearest}, but got {high}"
        )
    return IntDistribution(low, high, log=declared.log, step=step)


def _check_order(key: str, low: float, high: float, *, log: bool) -> None:
    if not low < high:
        raise InvalidSettingsError(f"{key}: low < high must hold, but got low={low}, high={high}")
    if log and low <= 0:
        raise InvalidSettingsError(f"{key}: low must be above 0 on a log scale, but got {low}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
