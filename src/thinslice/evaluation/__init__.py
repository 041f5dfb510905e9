"""Methods against known truth: protocols make the cases, metrics score them, a table holds the rows."""

from thinslice.evaluation.run import evaluate
from thinslice.evaluation.table import Row, Table

__all__ = ["Row", "Table", "evaluate"]
