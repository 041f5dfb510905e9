"""Methods against known truth: protocols make the cases, metrics score them, a table holds the rows."""
