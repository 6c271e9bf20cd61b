"""Referring expressions for things that have masks but no expressions.

``geometry.scene_of`` turns masks and pixels into a scene, ``expressions.describe`` a scene and a random generator into
expressions with the type of each word and the things it speaks about; neither reads a file. ``dataset`` does it for
annotation files.
"""
