"""What can be wrong with a study on disk and in MLflow, and what mends it."""

from search.doctor.examination import CHECKS, examine
from search.doctor.findings import Finding, Patient

__all__ = ["CHECKS", "Finding", "Patient", "examine"]
