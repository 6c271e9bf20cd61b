"""Grounded reasoning, which the paper has not: it assumes scenes of separate things whose places matter."""
