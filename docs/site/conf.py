"""The documentation site, as Sphinx builds it: `make docs`.

The pages are the Markdown files as they stand; nothing is written for the site alone but `docs/index.md` (its list is the
navigation), the pages of `docs/reference` and this folder. What is built loads nothing from another host.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "regiment"
author = "the authors of regiment"
html_title = "regiment"
language = "en"

root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "docs/**.md",
    "core/README.md",
    "plugins/*/README.md",
    "examples/**.md",
    "benchmark/results/*.md",
]
exclude_patterns = [".*", "build", "dist", "**/__pycache__"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "site_pages",
    "site_docstrings",
    "site_pictures",
]
suppress_warnings = ["ref.python"]  # two classes of one name, in a signature: the name is not made a link

myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]

default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["index.html"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
