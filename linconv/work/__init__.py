"""Trains what configurations still lack, within a given time; on a GPU, several runs side by side in one process."""

from linconv.work.jobs import OUTCOMES, Done, Job, find_jobs, is_done
from linconv.work.worker import Worker

__all__ = ["OUTCOMES", "Done", "Job", "Worker", "find_jobs", "is_done"]
