"""The site of these pages: ``make docs``."""

import jaxbatch

project = "jaxbatch"
version = release = jaxbatch.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "jaxbatch"
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links out of these pages, which tests/test_docs.py follows
autodoc_typehints = "none"
autodoc_member_order = "bysource"
exclude_patterns = ["build"]
