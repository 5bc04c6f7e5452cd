"""Contract checks that anyone can run on a method, a problem or a metric.

``bench check PATH|NAME`` prints them; in a test of your own they are two lines::

    from bench_core.testing import contract_tests

    test_contract = contract_tests("plugins/mine.py")

pytest then shows one test per check. Without pytest, ``check_plugin("plugins/mine.py").raise_if_failed()`` does the
same, and ``checks_of(Mine)`` gives the checks of a class or of a metric that stands anywhere.

A check names what it demands. When it fails it says what was required, what came and what cures it. Instances are
small: a class says by ``quick`` which parameters make it so.
"""

from __future__ import annotations

from bench_core.testing.checks import Check, ContractError, Report, Result
from bench_core.testing.plugin import check_plugin, checks_of, contract_tests

__all__ = ["Check", "ContractError", "Report", "Result", "check_plugin", "checks_of", "contract_tests"]
