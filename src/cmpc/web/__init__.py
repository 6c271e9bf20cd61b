"""The page to try a model in a browser (``cmpc web``): ``page`` is its layout, ``service`` what stands behind it."""
