"""What other programs load to let a model of ours answer in them, a file each."""
