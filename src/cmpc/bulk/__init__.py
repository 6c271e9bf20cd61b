"""Predictions for tables and folders of any length: input in parts, one output file a part, by one process or by many.

A part is some rows of the input that follow each other. What its file holds depends on these rows and on the model
alone, so that neither the number of workers nor an interruption changes the output.
"""
