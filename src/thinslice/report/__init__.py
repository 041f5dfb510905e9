"""What a person looks at: pictures of cases, and a page with tables and pictures."""

from thinslice.report.figures import save_picture
from thinslice.report.page import Pages

__all__ = ["Pages", "save_picture"]
