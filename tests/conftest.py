"""What holds for every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("pilah", deadline=None)  # how busy the machine is says nothing about the code
hypothesis.settings.load_profile("pilah")

LONGEST = ("test_training_make.py", "test_training_runs.py")
MISSING = "could not import"
"""Why a test may skip at home, but not where `PILAH_ALL` is set, as `.ci/run` does under CI, which installs all."""


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the history of a bin that happens to live on this machine."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


@pytest.fixture(autouse=True)
def threads_take_turns_as_before() -> Iterator[None]:
    """A server of the page shortens the turns of all threads of its process."""
    interval_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval_s)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a quarter of the time a test waits, for a browser, a disk or a lid."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest go first, or one process would still be at it when the others have nothing left."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _failed_where_all_must_run((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _failed_where_all_must_run((yield))


def _failed_where_all_must_run(report: Any) -> Any:
    if report.skipped and "PILAH_ALL" in os.environ and MISSING in str(report.longrepr):
        report.outcome, report.longrepr = "failed", f"PILAH_ALL is set, and this was skipped: {report.longrepr}"
    return report
