"""Hostile input of every kind, and what the commands must answer: a table that is tested and documented."""
