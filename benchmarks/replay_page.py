"""The page of a comparison on a recording: who ends where, and how soon others' ends are reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.cells import Cell, filled_on
from benchmarks.replay_curves import band_of_time, time_until
from benchmarks.replay_rows import ROWS, is_ours, is_peer
from search.replay.recording import Recording
from search.replay.surrogate import FitQuality

__all__ = ["best_peer", "by_row", "render", "rung_table"]

_PLACES = (0.25, 0.5, 1.0)


def by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Return the cells of each row that has some, in the order of the table."""
    return {row: found for row in ROWS if (found := [cell for cell in cells if cell["row"] == row])}


def best_peer(rows: Mapping[str, Sequence[Cell]]) -> str | None:
    """Return the peer with the highest median hypervolume at the end; None without peers."""
    peers = {row: band_of_time(cells).median_G[-1] for row, cells in rows.items() if is_peer(row)}
    return max(peers, key=lambda row: float(peers[row])) if peers else None


def render(
    title: str,
    about: Sequence[str],
    cells: Sequence[Cell],
    quality: Sequence[FitQuality],
    missing: Mapping[str, str],
    model: str = "Forest",
) -> str:
    """Write the page.

    Args:
        title: Of the page.
        about: Paragraphs that say what was compared, and the command.
        cells: All of one recording and of the same conditions.
        quality: Of the surrogate that answered.
        missing: Row to the reason why it could not be filled in.
        model: What the surrogate predicts accuracies by.
    """
    rows = by_row(cells)
    peer = best_peer(rows)
    lines = [f"# {title}", "", *about, ""]
    lines += _final_table(rows, peer)
    lines += ["", *_verdict(rows, peer)]
    lines += ["", *(f"- {row} is not in the table: {reason}" for row, reason in missing.items())]
    lines += _time_table(rows)
    lines += ["", "## How well the surrogate answers", ""]
    lines += [
        "Configurations that were not recorded score what a model says, plus the held-out residuals of one recorded"
    ]
    lines += [
        f"run. Accuracies are predicted by: {model}; a sampler that models them alike is at home there. Held-out"
    ]
    lines += ["quality, in five folds:", ""]
    lines += ["| epoch | figure | R squared | rank correlation |", "|---|---|---|---|"]
    lines += [
        f"| {one.epochs} | {one.figure} | {one.r_squared:.3f} | {one.rank_correlation:.3f} |"
        for one in quality
    ]
    return "\n".join([*lines, "", filled_on(cells), ""])


def rung_table(recording: Recording) -> list[str]:
    """Write how late in a trial each recorded epoch comes, and how well accuracies there tell those at the end."""
    end = recording.epochs[-1]
    seconds = {epochs: sum(run.seconds[epochs] for run in recording.runs) for epochs in recording.epochs}
    accuracy = {
        epochs: [run.scores[epochs].accuracy for run in recording.runs] for epochs in recording.epochs
    }
    lines = [
        "| epoch | share of a trial's time | correlation of accuracies with the end's |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {epochs} | {seconds[epochs] / seconds[end]:.0%} | "
        f"{np.corrcoef(accuracy[epochs], accuracy[end])[0, 1]:.2f} |"
        for epochs in recording.epochs
    ]


def _final_table(rows: Mapping[str, Sequence[Cell]], peer: str | None) -> list[str]:
    level = float(band_of_time(rows[peer]).median_G[-1]) if peer is not None else None
    shares = " | ".join(f"at {share:.0%} of the time" for share in _PLACES)
    lines = [f"| search | seeds | begun | complete | {shares} | time to the best peer's end |"]
    lines += ["|---" * (5 + len(_PLACES)) + "|"]
    for row, cells in rows.items():
        band = band_of_time(cells)
        places = [int(np.searchsorted(band.at_G, share)) for share in _PLACES]
        volumes = [
            f"{band.median_G[at]:.4f} ({band.low_G[at]:.4f} to {band.high_G[at]:.4f})" for at in places
        ]
        counts = [_median(cells, name) for name in ("num_configurations", "num_complete")]
        until = "" if level is None else _share(time_until(band, level))
        name = f"**{row}**" if row == peer else row
        lines.append(f"| {name} | {len(cells)} | {' | '.join([*counts, *volumes, until])} |")
    return lines


def _verdict(rows: Mapping[str, Sequence[Cell]], peer: str | None) -> list[str]:
    ours = [row for row in rows if is_ours(row)]
    if peer is None or not ours:
        return []
    level = float(band_of_time(rows[peer]).median_G[-1])
    lines = [
        f"The best peer is {peer}: median {level:.4f} at the end. Target: ours is there after half of the time.",
        "",
    ]
    for row in ours:
        until = time_until(band_of_time(rows[row]), level)
        said = "it never gets there" if until is None else f"it is there after {until:.0%} of the time"
        lines.append(
            f"- {row}: {said}, so the target is {'met' if until is not None and until <= 0.5 else 'missed'}."
        )
    return lines


def _time_table(rows: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Write when each search reaches the median end of each other one."""
    bands = {row: band_of_time(cells) for row, cells in rows.items()}
    targets = [row for row in rows if is_peer(row) or is_ours(row)]
    if not targets:
        return []
    lines = ["", "## Share of the time until another search's median end is reached", ""]
    lines += [f"| search | {' | '.join(targets)} |", "|---" * (1 + len(targets)) + "|"]
    for row, band in bands.items():
        shares = [_share(time_until(band, float(bands[target].median_G[-1]))) for target in targets]
        lines.append(f"| {row} | {' | '.join(shares)} |")
    return lines


def _median(cells: Sequence[Cell], name: str) -> str:
    return f"{statistics.median(cell[name] for cell in cells):.0f}"


def _share(share: float | None) -> str:
    return "never" if share is None else f"{share:.0%}"
