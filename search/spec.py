"""What a search does, complete: the run, what varies in it, objectives, sampler, halving, limits, storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from pruning_core.config import PruningConfig, Settings
from pruning_core.errors import InvalidSettingsError
from reports.objectives import Direction
from search.constraints import BUDGETED, QUANTITIES, Constraint, parse_constraint, unknown_quantity
from search.early_stopping.halving import HALVINGS
from search.early_stopping.halving_settings import HalvingConfig
from search.sampling.designs import DESIGNS, designed_points
from search.sampling.sampler_choice import SamplerChoice, choose_sampler
from search.sampling.search_task import SearchTask
from search.spec_file import describe, read_settings
from search.spec_settings import (
    LimitsConfig,
    ResourcesConfig,
    SamplerConfig,
    StorageConfig,
    StudyName,
)
from spaces import Range, SearchSpace, Value, build_space, spell_point, to_plain, vary

__all__ = ["SearchSpec", "dump_spec", "load_spec"]

BEST_DIRECTIONS: Mapping[str, Direction] = MappingProxyType(
    {name: Direction.MAXIMIZE if name == "accuracy" else Direction.MINIMIZE for name in QUANTITIES}
)
DEFAULT_OBJECTIVES = {name: BEST_DIRECTIONS[name] for name in ("accuracy", "macs", "params")}


def _known_design(name: str) -> str:
    if name not in DESIGNS:
        raise ValueError(f"unknown design {name!r}. Known designs: {', '.join(DESIGNS)}.")
    return name


class SearchSpec(Settings):
    """One search.

    ``search``: ranges over dotted fields of ``run``; a field in both is searched. ``first``: configurations to try
    before the sampler proposes any; fields left out are drawn. ``designs``: more of them, by name (``DESIGNS``): the
    published settings, a baseline, the ends of the budgets. ``reproducible``: trials are proposed in batches, one
    for each slot, and a batch begins when the one before has ended, so that the same seed gives the same trials,
    however long each takes; slots wait for the slowest of a batch. ``plug_ins``: folder that ``module:function`` names
    are imported from (null: the folder of the spec).
    """

    study: StudyName
    run: PruningConfig = PruningConfig()
    search: dict[str, Range]
    objectives: dict[str, Direction] = Field(default_factory=lambda: dict(DEFAULT_OBJECTIVES))
    constraints: dict[str, str] = Field(default_factory=dict)
    sampler: SamplerConfig = SamplerConfig()
    halving: HalvingConfig = HalvingConfig()
    limits: LimitsConfig = LimitsConfig()
    resources: ResourcesConfig = ResourcesConfig()
    storage: StorageConfig = StorageConfig()
    first: tuple[dict[str, Value], ...] = ()
    designs: tuple[Annotated[str, AfterValidator(_known_design)], ...] = ()
    reproducible: bool = False
    plug_ins: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _nobody_schedules(cls, values: object) -> object:
        """Leave out what specs of earlier versions say where they stop nobody."""
        if not isinstance(values, Mapping) or "scheduler" not in values:
            return values
        if values["scheduler"] not in ({"name": "none"}, {}, None):
            raise ValueError(
                f"'scheduler': trials are stopped early by halving.rule ({', '.join(HALVINGS)}), "
                f"but got {values['scheduler']!r}"
            )
        return {name: value for name, value in values.items() if name != "scheduler"}

    @field_validator("objectives", mode="before")
    @classmethod
    def _objectives_are_known(cls, objectives: object) -> object:
        if not isinstance(objectives, Mapping):
            return objectives
        for name, direction in objectives.items():
            if name not in QUANTITIES:
                raise ValueError(f"'objectives.{name}': {unknown_quantity()}")
            if direction != BEST_DIRECTIONS[name]:
                raise ValueError(
                    f"'objectives.{name}': must be {BEST_DIRECTIONS[name]}, but got {direction!r}"
                )
        if "accuracy" not in objectives or len(objectives) < 2:
            came = ", ".join(map(str, objectives)) or "none"
            costs = ", ".join(name for name in QUANTITIES if name != "accuracy")
            raise ValueError(f"must hold accuracy and at least one of {costs}, but got {came}")
        return objectives

    @field_validator("constraints", mode="before")
    @classmethod
    def _constraints_can_be_read(cls, constraints: object) -> object:
        if isinstance(constraints, Mapping):
            for quantity, text in constraints.items():
                parse_constraint(str(quantity), str(text))
        return constraints

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        build_space(self.search, self.run)
        for section, names in (("objectives", self.objectives), ("constraints", self.constraints)):
            for name in names:
                if name in BUDGETED and not self._has_budget(name):
                    raise ValueError(
                        f"'{section}.{name}': is known only of networks with a budget on it; set run.budgets.{name}, "
                        "to 1.0 if it shall limit nothing"
                    )
        for index in range(len(self.first)):
            self._fixed_point(index)
        for name in self.designs:
            designed_points(self.space, name)
        if self.sampler.duplicates == "new_seed" and "seed" in self.search:
            raise ValueError(
                "'sampler.duplicates': new_seed sets the seed of repeated configurations, so search.seed must not "
                "vary; take it out, or set duplicates to refuse"
            )
        self._check_halving()
        self._check_batches()
        return self

    def _check_batches(self) -> None:
        count, run = self.resources.processes_per_trial, self.run
        sizes = {
            "dense_training": run.dense_training.batch_size,
            "saliency.predictor": run.saliency.predictor.batch_size,
            "saliency.selector": run.saliency.selector.batch_size,
            "fine_tuning": run.fine_tuning.batch_size,
        }
        for section, size in sizes.items():
            if size % count != 0:
                raise ValueError(
                    f"'run.{section}.batch_size': must be a multiple of the {count} of resources.processes_per_trial, "
                    f"between which a batch is divided, but got {size}"
                )

    def _check_halving(self) -> None:
        if self.halving.rule != "none" and "fine_tuning.epochs" in self.search:
            raise ValueError(
                "'halving.rule': compares trials after equal parts of equal trainings, so search.fine_tuning.epochs "
                "must not vary; take it out, or set the rule to none"
            )
        if self.halving.rule != "none" and self.reproducible:
            raise ValueError(
                "'reproducible': halving decides by the order in which trials come to their rungs, so halving.rule "
                f"must be none, but got {self.halving.rule!r}"
            )
        if self.halving.rule != "none" and self.resources.processes_per_trial > 1:
            raise ValueError(
                "'halving.rule': a rung keeps the state of one process, so it must be none where "
                f"resources.processes_per_trial is {self.resources.processes_per_trial}, but got {self.halving.rule!r}"
            )
        self.halving.rungs_of(self.run.fine_tuning.epochs)

    @cached_property
    def space(self) -> SearchSpace:
        """What varies, ready for Optuna."""
        return build_space(self.search, self.run)

    @property
    def rungs(self) -> tuple[int, ...]:
        """After how many epochs of fine-tuning trials are compared, ascending; none without halving."""
        return self.halving.rungs_of(self.run.fine_tuning.epochs)

    @property
    def task(self) -> SearchTask:
        """What samplers may know of the search."""
        return SearchTask(space=self.space, objectives=self.objectives, num_trials=self.limits.trials)

    @property
    def sampler_choice(self) -> SamplerChoice:
        """Which sampler proposes, and why; a study that has begun keeps the one that it began with."""
        return choose_sampler(self.sampler.name, self.task)

    @property
    def parsed_constraints(self) -> tuple[Constraint, ...]:
        """The constraints, ready to be measured against."""
        return tuple(parse_constraint(quantity, text) for quantity, text in self.constraints.items())

    @property
    def fixed_points(self) -> tuple[dict[str, Value], ...]:
        """The configurations to try first, as the space spells their values."""
        return tuple(self._fixed_point(index) for index in range(len(self.first)))

    @property
    def points_to_try(self) -> tuple[dict[str, Value], ...]:
        """The configurations to try before the sampler proposes any: the given ones, then those of the designs."""
        designed = [point for name in self.designs for point in designed_points(self.space, name)]
        return (*self.fixed_points, *designed)

    def make_config(self, values: Mapping[str, object]) -> PruningConfig:
        """Return the run with the fields that vary set to ``values``.

        Raises:
            InvalidSettingsError: A value is not allowed; not for values that ``space`` proposed.
        """
        return vary(self.run, values)

    def _has_budget(self, name: str) -> bool:
        """Whether every configuration has a budget on a resource."""
        varied = self.search.get(f"budgets.{name}")
        if varied is not None and not varied.when:
            return None not in (varied.choices or ())
        return getattr(self.run.budgets, name) is not None

    def _fixed_point(self, index: int) -> dict[str, Value]:
        try:
            return spell_point(self.space, self.run, self.first[index])
        except InvalidSettingsError as error:
            raise InvalidSettingsError(f"'first.{index}': {error}") from None


def load_spec(path: Path, overrides: Sequence[str] = ()) -> SearchSpec:
    """Read a spec, with overrides such as ``run.seed=3`` or ``search.budgets.macs={low: 0.3, high: 0.6}``.

    Paths in ``run`` and ``plug_ins`` are taken relative to the spec's folder, or in overrides to the working directory.

    Raises:
        InvalidSettingsError: One line for the first problem: file and line (or ``command line``), key, what came,
            what is allowed.
    """
    written = read_settings(path, overrides)
    try:
        return SearchSpec.model_validate(written.plain)
    except ValidationError as error:
        problem = describe(SearchSpec, error)
    raise InvalidSettingsError(f"{written.place_of(problem)}: {problem}")


def dump_spec(spec: SearchSpec) -> str:
    """Return a spec as YAML with every default written out, so that it means the same to later versions."""
    plain = spec.model_dump(mode="json", exclude={"run", "search"})
    run = to_plain(spec.run)
    if "budgets" not in spec.run.model_fields_set:
        del run["budgets"]  # not asked for: gives way to the budgets that vary
    plain["run"] = run
    plain["search"] = {name: one.written() for name, one in spec.search.items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
