"""A page as the standard library's HTML parser reads it."""

from html.parser import HTMLParser

NO_CONTENT = {"meta", "link", "br", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects the text, the tags and the attributes of a page; insists that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in NO_CONTENT:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read_html(html: str) -> Reader:
    """Read a whole page; every tag must be closed."""
    html.encode("utf-8")
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader
