"""What a run's curves say, in the words of the course: `diagnose(run)`. Nothing here imports torch."""

from couloir.diagnosis.diagnosis import Diagnosis, diagnose
from couloir.diagnosis.finding import Finding, Remedy

__all__ = ["Diagnosis", "Finding", "Remedy", "diagnose"]
