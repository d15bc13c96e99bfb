"""A predictor and a canonicalizer together: whether they fit, how the pair is described, saved and loaded."""
