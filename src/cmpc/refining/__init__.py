"""Sharpens masks: draws their edges to the edges that the photo shows."""
