"""Under CI, what does not run fails: a skip or an expected failure there hides a missing part."""

import os
from collections.abc import Generator

import pytest


def _forbidden() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and _forbidden():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "expected")
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} did not run, which fails in CI: {reason}"
        if hasattr(report, "wasxfail"):
            del report.wasxfail


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail(report)
    return report
