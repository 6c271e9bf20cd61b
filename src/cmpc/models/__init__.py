"""The networks: three steps (``network``), what they are made of (``config``), and one file for each part."""
