"""Errors that a user, a file or a setting can cause.

PrunefrontError                what must hold, what came, what to do: one line, exit code 2
|-- InvalidSettingsError       a field, a name or a combination of them
|-- InvalidDataError           empty folders, one class, images of different sizes
|-- InvalidCheckpointError     weights of another architecture, a truncated file
|-- UnsupportedNetworkError    a layer whose channels cannot be removed safely
|-- InfeasibleBudgetsError     below what the narrowest network reaches
|-- StorageError               a full disk, a folder from another version, an object store that is gone
|-- NonFiniteLossError         training diverged; nothing of it is kept
|-- FailedStageError           a stage that all trials of a search need
|-- LostProcessError           another process of the same run failed or ended
`-- ClusterError               no cluster there, or one of its machines cannot run trials
"""

from __future__ import annotations


class PrunefrontError(ValueError):
    """Root of everything a user can cause; its text is shown as one line."""


class InvalidSettingsError(PrunefrontError):
    """A field, a name or a combination of fields is not allowed."""


class InvalidDataError(PrunefrontError):
    """The data set cannot be used as it is."""


class InvalidCheckpointError(PrunefrontError):
    """A file of weights does not fit the network it was named for."""


class UnsupportedNetworkError(PrunefrontError):
    """A layer of the network cannot be pruned safely."""


class InfeasibleBudgetsError(PrunefrontError):
    """No allowed network meets the budgets; the text names the reachable minimum."""


class StorageError(PrunefrontError):
    """Results cannot be written or read."""


class NonFiniteLossError(PrunefrontError):
    """A loss became NaN or infinite; no weight was updated with it."""


class FailedStageError(PrunefrontError):
    """A stage that every configuration of a search needs cannot be built; no trial was given up for it."""


class LostProcessError(PrunefrontError):
    """Another process of the same run failed or ended; the text says what is known of it."""


class ClusterError(PrunefrontError):
    """There is no such cluster, or a machine of it has other code or data than the driver, or lacks something."""
