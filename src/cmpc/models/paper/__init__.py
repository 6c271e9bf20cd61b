"""The parts of the paper's figure 2, one file each."""
