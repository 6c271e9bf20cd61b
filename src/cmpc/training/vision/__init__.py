"""Learning to see before there are words: attributes and objects of the scenes of Blocks."""
