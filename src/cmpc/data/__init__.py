"""Prepared data: tables, vocabulary, image and mask transforms."""
