"""From a file, a column, a folder or an array to what a predictor reads."""
