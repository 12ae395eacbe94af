"""Class profiles alone, for networks that are pruned by another importance: one pass over the calibration images."""

from __future__ import annotations

from pruning_core.importance.class_coverage import ClassProfile, ClassSums
from pruning_core.importance.protocols import ImportanceContext
from pruning_core.importance.read_points import ReadObserver, find_read_points, stream_reads


def measure_class_profiles(context: ImportanceContext) -> dict[str, ClassProfile]:
    """Return by group which classes its channels answer to, at the first layer that reads them.

    Raises:
        UnsupportedNetworkError: As in ``find_read_points``.
    """
    sums: dict[str, ClassSums] = {}
    observers: dict[str, list[ReadObserver]] = {}
    for point in find_read_points(context).points:
        if point.group not in sums:
            sums[point.group] = ClassSums(point.positions_CS, context.data.num_classes)
            observers.setdefault(point.layer, []).append(sums[point.group])
    stream_reads(context, observers)
    return {group: one.profile() for group, one in sums.items()}
