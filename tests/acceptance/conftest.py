"""What acceptance tests measured is told at the end of a run, passed or not: `record_property("figures", ...)`."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [
        (report.nodeid.rpartition("::")[2], value)
        for report in reports
        for name, value in report.user_properties
        if report.when == "call" and name == "figures"
    ]
    if told:
        terminalreporter.section("acceptance figures")
        for test, figures in told:
            terminalreporter.line(f"{test}: {figures}")
