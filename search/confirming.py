"""Repeat a picked configuration under other seeds, in this process.

A repeat is a run like any other: its network lies in the artifact store, so that one that was made before is found
again, whoever made it. It is no trial: the study and its front stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import NonFiniteLossError
from reports.confirmations import Confirmation, Repeat
from reports.formats import duration, slim_accuracy
from reports.fronts import scores_of
from reports.records import TrialRecord
from search.backend import PruningBackend, run_with_stages
from search.trial_records import network_scores

__all__ = ["confirm_pick"]


def confirm_pick(
    record: TrialRecord, num_repeats: int, backend: PruningBackend, say: Callable[[str], None]
) -> Confirmation:
    """Run the seeds after the picked trial's own; networks and saliency stages without a seed of the run are shared.

    Args:
        record: The picked trial, complete.
        num_repeats: At least 1.
        backend: Runs them.
        say: Takes a line when a repeat begins and ends.

    Raises:
        PrunefrontError: The data or the artifact store cannot be used. A repeat that diverges is a result.
    """
    config = load_config(record.config)
    repeats = []
    for index in range(num_repeats):
        seed = config.seed + 1 + index
        say(f"repeat {index + 1} of {num_repeats} (seed {seed}) ...")
        started = time.monotonic()
        repeat = _repeat(config.model_copy(update={"seed": seed}), backend)
        outcome = repeat.failure if repeat.scores is None else slim_accuracy(repeat.scores)
        say(f"  {outcome} after {duration(time.monotonic() - started)}")
        repeats.append(repeat)
    return Confirmation(picked=scores_of(record), repeats=tuple(repeats))


def _repeat(config: PruningConfig, backend: PruningBackend) -> Repeat:
    try:
        return Repeat(seed=config.seed, scores=network_scores(run_with_stages(config, backend)))
    except NonFiniteLossError as error:
        return Repeat(seed=config.seed, failure=str(error))
