"""Findings → SARIF 2.1.0, which code hosts and editors show beside the line.

In: findings in the publication's language. Out: a JSON document as plain values. Never: a path
outside the publication.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from newsletter.model import Finding, Severity

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "note"}


def to_sarif(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """Return one run of one tool; each code is a rule."""
    codes = sorted({finding.code for finding in findings})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "newsletter check",
                        "version": version,
                        "rules": [_rule(code, findings) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, codes.index(finding.code)) for finding in findings],
            }
        ],
    }


def _rule(code: str, findings: Iterable[Finding]) -> dict[str, Any]:
    severity = next(finding.severity for finding in findings if finding.code == code)
    return {"id": code, "defaultConfiguration": {"level": _LEVELS[severity]}}


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} {finding.remedy}"},
    }
    if finding.file:
        location: dict[str, Any] = {"artifactLocation": {"uri": finding.file}}
        if finding.line:
            location["region"] = {"startLine": finding.line}
        result["locations"] = [{"physicalLocation": location}]
    return result
