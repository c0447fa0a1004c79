"""`sca docs`: the pages under docs/ that come from the code."""

import json
import re
from pathlib import Path

from sca_service.api.pages import errors_markdown
from sca_service.api.problems import problem_pages
from sca_service.api.reference_page import reference_markdown
from sca_service.cli import app
from sca_service.compliance.page import compliance_markdown
from sca_service.compliance.requirements import requirements


def commands_markdown() -> str:
    """Every command of `sca` with its options, as a page."""
    page = app.generate_docs(output_format="markdown", recursive=True)
    page = page.replace("```console\nsca COMMAND\n```\n\n", "", 1)  # there only when no command is running
    return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"


def write_docs(folder: Path = Path("docs")) -> None:
    """Write the pages under docs/ that come from the code."""
    pages = {
        "errors.md": errors_markdown(problem_pages()),
        "compliance.md": compliance_markdown(requirements()),
        "cli.md": commands_markdown(),
        "api.md": reference_markdown(json.loads((folder / "openapi.json").read_text("utf-8"))),
    }
    for name, text in pages.items():
        path = folder / name
        path.write_text(text, "utf-8")
        print(path)
