"""What a segmenter answers, and how it is drawn and written."""
