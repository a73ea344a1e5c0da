"""What the documents point to is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)")
COMMAND = re.compile(r"^(?:sudo )?make ([a-z][a-z-]*)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link[0]]
    assert not [path for path, _ in links if not (document.parent / path).exists()]
    pages = [(document.parent / path if path else document, anchor) for path, anchor in links if anchor]
    assert not [(page.name, anchor) for page, anchor in pages if anchor not in anchors(page)]


def test_every_make_command_in_the_documents_is_in_the_map() -> None:
    listed = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    named = {target for document in DOCUMENTS for target in COMMAND.findall(document.read_text(encoding="utf-8"))}
    assert {"run", "test", "model"} <= named
    assert named <= targets
