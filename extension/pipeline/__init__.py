"""From lines to records: a file for each step. A step takes the records of a chunk and returns those that stay."""
