"""A reader of HTML pages that is stricter than browsers: every element is closed, in order, and nothing is loaded."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "rect", "line"})


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        assert text.startswith("<!DOCTYPE html>")
        self.feed(text)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> at {self.getpos()} is out of order"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, its spaces made single."""
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        """Of one attribute, anywhere."""
        return [value for _, found, value in self.attributes if found == name]


def check_self_contained(text: str) -> Page:
    """Nothing comes from outside, and nothing runs."""
    page = Page(text)
    assert "://" not in text
    assert not {"script", "iframe", "object", "embed", "link", "form", "base", "audio", "video"} & set(page.tags)
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert all(value.startswith("data:image/png;base64,") for value in page.values("src"))
    anchors = {value.removeprefix("#") for value in page.values("href")}
    assert anchors <= set(page.values("id"))
    assert page.values("srcset") == page.values("background") == []
    assert "url(" not in text
    assert "@import" not in text
    return page
