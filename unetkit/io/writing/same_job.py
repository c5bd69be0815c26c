"""What an unfinished output is the result of, and whether a run that finds it makes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unetkit.foundation.errors import OutputError

SHOWN_CHARACTERS = 60
"""Longest text of a value in a message, in characters."""


def job_to_json(job: dict[str, Any]) -> str:
    """Return a job as text that is the same for the same job."""
    return json.dumps(job, sort_keys=True)


def check_same_job(path: Path, stored: dict[str, Any], job: dict[str, Any]) -> None:
    """Check that what is left of an earlier run is of the same job.

    Args:
        path: What is left.
        stored: The job of the earlier run, read from JSON.
        job: The job of this run, in values that JSON knows.

    Raises:
        OutputError: It is another job. Each key in which they differ is named, with both values.
    """
    job = json.loads(job_to_json(job))
    differences = []
    for key in sorted(stored.keys() | job.keys()):
        before, now = (_shown(values[key]) if key in values else "not given" for values in (stored, job))
        if key not in stored or key not in job or job_to_json({key: stored[key]}) != job_to_json({key: job[key]}):
            differences.append(f"{key} was {before} and is now {now}")
    if differences:
        raise OutputError(
            f"What is left at {path} is of another run: {'; '.join(differences)}.",
            "Give the same options as before to go on with it, --overwrite without --resume to start anew, or another "
            "name for the output.",
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
