"""Parser of the HTML pages of gan_lab, for tests."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br", "hr", "link", "input"}


@dataclass
class Node:
    """HTML element; `text` includes the text of its descendants."""

    tag: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str, kind: str = "") -> list["Node"]:
        """Descendants with a tag name and, if given, a class, in document order."""
        found = []
        for child in self.children:
            if child.tag == tag and (not kind or kind in child.attributes.get("class", "").split()):
                found.append(child)
            found += child.all(tag, kind)
        return found


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("page", {})]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attributes})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"{tag} closes {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for node in self.open:
            node.text += data


def read_page(file: Path) -> Node:
    """Parse a page; check that its tags are balanced and that it loads no external resources."""
    reader = Reader()
    reader.feed(file.read_text())
    (page,) = reader.open
    assert not page.all("link") and not page.all("iframe") and not page.all("object")
    for node in page.all("script"):
        assert "src" not in node.attributes
    for node in page.all("img"):
        assert node.attributes["src"].startswith("data:image/webp;base64,")
    for node in page.all("a"):
        assert "://" not in node.attributes["href"]
    assert not any(name.startswith("on") for node in descendants(page) for name in node.attributes)
    style = "".join(node.text for node in page.all("style"))
    assert "url(" not in style and "@import" not in style
    return page


def descendants(node: Node) -> list[Node]:
    return [below for child in node.children for below in [child, *descendants(child)]]
