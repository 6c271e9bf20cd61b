"""From a model folder to one that needs neither PyTorch nor this package: two graphs, checked, and an example."""
