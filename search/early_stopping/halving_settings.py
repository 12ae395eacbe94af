"""The part of a search's spec that says which trials are stopped early."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pruning_core.setting_types import PositiveInt, Settings
from search.early_stopping.halving import HALVINGS, HalvingRule

__all__ = ["HalvingConfig"]


def _known_rule(name: str) -> str:
    if name not in HALVINGS:
        raise ValueError(f"unknown rule {name!r}. Known rules: {', '.join(HALVINGS)}.")
    return name


class HalvingConfig(Settings):
    """Stops trials early.

    Attributes:
        rule: ``none``; ``stopping`` decides about each trial when it reaches a rung; ``promotion`` lets it wait until
            the rung holds enough to compare it with; ``hyperband`` stops some trials from the first rung on, some
            from later ones, some never (`brackets`); ``all`` measures every rung and stops nobody. The keys of
            ``HALVINGS``.
        eta: One of so many goes on after each rung.
        rungs: After how many epochs of ``run.fine_tuning`` trials are compared; the end is not one of them.
        min_epochs: First rung, where ``rungs`` is null (null: 1); each further one is at ``eta`` times the epochs.
    """

    rule: Annotated[str, AfterValidator(_known_rule)] = "none"
    eta: Annotated[int, Field(ge=2)] = 3
    rungs: tuple[PositiveInt, ...] | None = None
    min_epochs: PositiveInt | None = None

    @model_validator(mode="after")
    def _rungs_are_said_once(self) -> Self:
        for name in ("rungs", "min_epochs"):
            if self.rule == "none" and getattr(self, name) is not None:
                raise ValueError(f"'halving.{name}': has no effect while halving.rule is none; choose a rule")
        if self.rungs is None:
            return self
        if self.min_epochs is not None:
            raise ValueError("'halving.min_epochs': has no effect beside halving.rungs; set one of them")
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(
                f"'halving.rungs': must be epochs in ascending order, at least one, but got {list(self.rungs)}"
            )
        return self

    @property
    def found_rule(self) -> HalvingRule | None:
        """What decides; None where every trial runs to its end in one go."""
        return HALVINGS[self.rule]

    def rungs_of(self, num_epochs: int) -> tuple[int, ...]:
        """Return the rungs of trials that train for so many epochs, ascending.

        Raises:
            ValueError: No rung, or not every one, lies before the end. The text starts with the key.
        """
        if self.rule == "none":
            return ()
        if self.rungs is not None:
            if self.rungs[-1] >= num_epochs:
                raise ValueError(
                    f"'halving.rungs': must be below the {num_epochs} epochs of run.fine_tuning, "
                    f"but got {list(self.rungs)}"
                )
            return self.rungs
        rungs: list[int] = []
        epochs = self.min_epochs or 1
        while epochs < num_epochs:
            rungs.append(epochs)
            epochs *= self.eta
        if not rungs:
            raise ValueError(
                f"'halving.min_epochs': must be below the {num_epochs} epochs of run.fine_tuning, but got {epochs}"
            )
        return tuple(rungs)
