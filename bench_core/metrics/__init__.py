"""Metrics: one number per trial, with the kind that decides its interval and the direction that decides who is best."""

from __future__ import annotations

from bench_core.metrics.base import DerivedMetric, MeasuredMetric, Metric, ReportedMetric

__all__ = ["DerivedMetric", "MeasuredMetric", "Metric", "ReportedMetric"]
