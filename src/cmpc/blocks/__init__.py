"""Blocks: a generated benchmark of referring image segmentation whose expressions need relations.

Scenes are sampled (``placement``), rendered with exact masks (``renderer``) and described by expressions whose meaning
is known (``meaning``, ``solver``, ``expressions``, ``grammar``). ``generate.make_sample`` puts them together.
Tables and image files are made by ``cmpc.blocks.dataset``, the command is ``cmpc blocks``.
"""
