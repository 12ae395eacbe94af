"""After a search that went by a table of layer latencies: its front, measured end to end where the table is from."""

from __future__ import annotations

from pruning_core.errors import PrunefrontError
from reports.fronts import find_front
from reports.records import StudyRecords
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.latencies import read_latencies
from search.terminal import warn

__all__ = ["goes_by_latency", "measure_front"]


def goes_by_latency(study: StudyRecords) -> bool:
    """Tell whether the table says something of a network on the front."""
    return any(
        record.scores is not None and record.scores.latency_ms is not None
        for record in find_front(study).points
    )


def measure_front(study: StudyRecords, folder: StudyFolder) -> tuple[StudyRecords, list[str]]:
    """Measure the front as the table was measured: as many threads, batches as large.

    What cannot be measured is said in a line on stderr: the search has succeeded without.

    Returns:
        The study with the measured latencies, and lines for the user; none if nothing was measured.
    """
    from pruning_core.latency.measuring import device_name
    from pruning_core.latency.table import read_latency_table
    from pruning_core.latency.turns import TurnSettings
    from search.commands.network_latency import latency_lines, measure_trials

    try:
        table = read_latency_table(load_spec(folder.spec_path).run.latency_table)
        if table.device != device_name("cpu"):
            return study, [f"latencies are by the table of {table.device}; this machine is another"]
        settings = TurnSettings(num_threads=table.num_threads, batch_size=table.batch_size)
        measurement = measure_trials(find_front(study).points, folder, settings)
    except PrunefrontError as error:
        warn(f"the front was not measured: {' '.join(str(error).split())}")
        return study, []
    complete = study.model_copy(update={"latencies": tuple(read_latencies(folder))})
    return complete, latency_lines(measurement)
