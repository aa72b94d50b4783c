"""Text between the marks of a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.lib.pages import block_names, replace_block


def test_blocks_have_names(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- begin: d.e/b_2 --><!-- end: d.e/b_2 -->text\n<!-- begin: a --><!-- end: a -->", encoding="utf-8"
    )
    assert block_names(page) == ["d.e/b_2", "a"]
    with pytest.raises(UserError, match=r"nowhere\.md does not exist"):
        block_names(tmp_path / "nowhere.md")


def test_a_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin: x -->\nold\n<!-- end: x -->\nafter\n", encoding="utf-8")
    replace_block(page, "x", "new\ntable\n")
    assert page.read_text(encoding="utf-8") == "before\n<!-- begin: x -->\nnew\ntable\n<!-- end: x -->\nafter\n"


@pytest.mark.parametrize("content", [None, "no block", "<!-- begin: x --> and no end"])
def test_a_page_without_the_block_is_refused(content: str | None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    if content is not None:
        page.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="<!-- end: x -->"):
        replace_block(page, "x", "new")
    assert content is None or page.read_text(encoding="utf-8") == content
