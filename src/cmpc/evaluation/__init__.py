"""Evaluation: metrics, protocols, post-processing, reports."""
