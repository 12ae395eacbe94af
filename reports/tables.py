"""Tables of a study as data frames, for CSV and Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pandas as pd

from reports.front_rows import FrontRow, front_rows
from reports.fronts import StudyFront, front_ranks
from reports.records import Scalar, StudyRecords, TrialRecord, to_metrics

__all__ = ["FrontRow", "front_rows", "front_table", "table_files", "trials_table"]

_FIRST_COLUMNS = ("number", "method", "accuracy", "macs", "params")  # all that an empty table says


def front_table(study: StudyRecords | StudyFront) -> pd.DataFrame:
    """Return the front as a data frame, one row per network, settings as columns of their own."""
    return _frame(_flat_row(row) for row in front_rows(study))


def trials_table(study: StudyRecords) -> pd.DataFrame:
    """Return every trial as a data frame, whatever became of it, in the order of their numbers."""
    ranks = front_ranks(study)
    return _frame(
        _trial_row(record, ranks.get(record.number), study.run_url(record.number))
        for record in sorted(study.records, key=lambda record: record.number)
    )


def table_files(stem: str, table: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Return a table as ``stem.csv`` and ``stem.parquet``.

    Parquet has one type per column: one that holds numbers and texts at once, such as a setting that may be a number or
    a name, is text there.
    """
    yield f"{stem}.csv", table.to_csv(index=False).encode()
    typed = table.apply(lambda column: column.astype("string") if column.dtype == object else column)
    buffer = io.BytesIO()
    typed.to_parquet(buffer, index=False)
    yield f"{stem}.parquet", buffer.getvalue()


def _flat_row(row: FrontRow) -> dict[str, Scalar]:
    plain = asdict(row)
    for name in ("interval", "varied", "kept", "repeats", "step"):
        del plain[name]
    step = row.step
    return {
        **plain,
        "accuracy_low": row.interval.low,
        "accuracy_high": row.interval.high,
        "repeats": " ".join(str(number) for number in row.repeats),
        "next_smaller": None if step is None else step.smaller,
        "points_per_million_macs": None if step is None else step.points_per_million_macs,
        **row.varied,
        **{f"kept.{group}": kept for group, (kept, _) in row.kept.items()},
    }


def _trial_row(record: TrialRecord, rank: int | None, run_url: str | None) -> dict[str, Scalar]:
    return {
        "number": record.number,
        "status": record.status.value,
        "feasible": record.is_feasible,
        "pareto_rank": rank,
        "method": record.method,
        "seed": record.seed,
        **to_metrics(record),
        **record.varied,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "reason": record.reason,
        "trial_key": record.trial_key,
        "run_url": run_url,
    }


def _frame(rows: Iterable[dict[str, Scalar]]) -> pd.DataFrame:
    """Build a frame whose columns are those of all rows, whole numbers staying whole where some are missing."""
    listed = list(rows)
    if not listed:
        return pd.DataFrame(columns=list(_FIRST_COLUMNS))
    return pd.DataFrame(listed).convert_dtypes()
