"""Pictures that pages draw in Mermaid's words, as code hosts show them: drawn when the site is built, so no page needs a script."""

from __future__ import annotations

import mermaidx
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

LOOK = {"theme": "neutral", "config": {"fontFamily": "sans-serif", "flowchart": {"htmlLabels": False}}}


class Picture(SphinxDirective):
    """A block of Mermaid's words."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The picture as part of the page."""
        drawn = mermaidx.render("\n".join(self.content), **LOOK).svg()
        return [nodes.raw("", f'<div class="picture">{drawn}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("mermaid", Picture)
    return {"parallel_read_safe": True}
