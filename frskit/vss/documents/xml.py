"""XML text that keeps every byte it does not understand.

A document is read into a small tree of elements that remember where they stand in the text; edits
are splices of that text, so everything else survives byte for byte: white space, quotes, unknown
elements and attributes, encoding, byte order mark, even a trailing NUL [VSS 5, VSS-67]. This is
not a general XML library: no DTDs, no entities, no processing instructions beyond the prolog, no
validation.

Document types and entity declarations are refused before they can do harm, and sizes are bounded;
the bounds are frskit's choice, far above the two megabytes that real documents reach [VSS 5.1].
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.parsers import expat

from attrs import define, field, frozen

from frskit.codes.hresult import hresult
from frskit.errors import DocumentError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "Element",
    "XmlText",
    "element_text",
    "escape_attribute",
]

MAX_BYTES = 64 * 1024 * 1024
"""Longest document that is read."""

MAX_DEPTH = 64
"""Deepest nesting that is read."""

MAX_ELEMENTS = 1_000_000
"""Most elements that are read."""

# On bytes, because the places that expat reports are byte offsets.
_START_TAG = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=>]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*(?P<end>/?>)""")
_ATTRIBUTE = re.compile(rb"""\s(?P<name>[^\s=/>]+)\s*=\s*(?P<quoted>"[^"]*"|'[^']*')""")
# What XML 1.0 cannot, not even as a character reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


def damaged(why: str, *, name: str = "VSS_E_INVALID_XML_DOCUMENT") -> DocumentError:
    """The error for a document that cannot be used."""
    return DocumentError(f"the document cannot be used: {why}", native=hresult(name))


def escape_attribute(value: str) -> str:
    """`value`, ready to stand between double quotes.

    Raises:
        DocumentError: It holds a character that XML cannot carry.
    """
    if _FORBIDDEN.search(value):
        raise damaged(f"the text {value!r} holds a character that XML cannot carry")
    return value.translate(_ESCAPES)


def element_text(
    name: str, attributes: Mapping[str, str | None], children: str | None = None
) -> str:
    """One element as text; attributes that are None are left out."""
    parts = [name]
    parts += [
        f'{key}="{escape_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    head = " ".join(parts)
    return f"<{head}/>" if children is None else f"<{head}>{children}</{name}>"


@define(eq=False)
class Element:
    """One element of a document.

    Attributes:
        namespace, name: Expanded name; match by `name`, children may carry ``xmlns=""``.
        attributes: Values by local name, and by ``{namespace}name`` where there is a namespace.
        children: Elements in it, in order.
        start: Byte position of the start tag in the document's UTF-8 text.
    """

    namespace: str
    name: str
    attributes: dict[str, str]
    start: int
    children: list[Element] = field(factory=list)

    def find(self, name: str) -> Element | None:
        """The first child of this local name."""
        return next((child for child in self.children if child.name == name), None)

    def find_all(self, name: str) -> Iterator[Element]:
        """The children of this local name."""
        return (child for child in self.children if child.name == name)

    def descend(self) -> Iterator[Element]:
        """All elements below this one, in document order."""
        for child in self.children:
            yield child
            yield from child.descend()

    def get(self, name: str, default: str = "") -> str:
        """An attribute's value."""
        return self.attributes.get(name, default)

    def require(self, name: str) -> str:
        """An attribute that has to be there.

        Raises:
            DocumentError: It is not.
        """
        if name not in self.attributes:
            raise damaged(f"element {self.name} lacks {name}", name="VSS_E_CORRUPT_XML_DOCUMENT")
        return self.attributes[name]

    def number(self, name: str, default: int | None = None) -> int:
        """A decimal attribute that is not negative.

        Raises:
            DocumentError: It is missing without a default, or is not such a number.
        """
        text = self.attributes.get(name)
        if text is None and default is not None:
            return default
        text = self.require(name)
        # 20 digits hold every 64-bit number (ours).
        if not re.fullmatch(r"[0-9]{1,20}", text):
            raise damaged(
                f"{self.name} has {name}={text!r}, which is not a number",
                name="VSS_E_CORRUPT_XML_DOCUMENT",
            )
        return int(text)


@frozen
class _Encoding:
    """How a document was stored: codec, byte order mark, trailing bytes that are not XML."""

    codec: str
    mark: bytes = b""
    tail: bytes = b""


def _sniff(data: bytes) -> _Encoding:
    """Find the encoding by mark or by the place of the NUL bytes [VSS 5]."""
    for mark, codec in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if data.startswith(mark):
            return _Encoding(codec, mark, _tail(data, codec))
    # Without a mark, the NUL of the first character tells UTF-16 and its byte order [VSS 5].
    head = data[:2]
    if len(head) == 2 and head[1] == 0:
        return _Encoding("utf-16-le", b"", _tail(data, "utf-16-le"))
    if len(head) == 2 and head[0] == 0:
        return _Encoding("utf-16-be", b"", _tail(data, "utf-16-be"))
    return _Encoding("utf-8", b"", _tail(data, "utf-8"))


def _tail(data: bytes, codec: str) -> bytes:
    """Trailing NUL characters, which some tools leave behind the root element."""
    width = 2 if codec.startswith("utf-16") else 1
    end = len(data) - len(data) % width
    start = end
    while start >= width and not any(data[start - width : start]):
        start -= width
    return data[start:]


class XmlText:
    """A document: its tree for reading, its text for editing.

    Args:
        data: The document as it was stored.
        root: Local name that the root element must have; None for any.

    Raises:
        DocumentError: Not well-formed, too large, with a DTD, or of another kind.
    """

    def __init__(self, data: bytes, *, root: str | None = None) -> None:
        if len(data) > MAX_BYTES:
            raise damaged(f"it has {len(data)} bytes, more than {MAX_BYTES}")
        self._encoding = _sniff(data)
        body = data[len(self._encoding.mark) : len(data) - len(self._encoding.tail)]
        try:
            # expat's offsets are those of the bytes it was given, so edits are made in the same
            # bytes.
            self._text = body.decode(self._encoding.codec).encode("utf-8")
        except UnicodeError as error:
            raise damaged(f"it is not {self._encoding.codec} text") from error
        self.root: Element = _Builder().build(self._text)
        if root is not None and self.root.name != root:
            raise damaged(f"its root is {self.root.name}, not {root}")
        self._edits: list[tuple[int, int, bytes]] = []

    def set_attribute(self, element: Element, name: str, value: str) -> None:
        """Set an attribute, as it is written in the text (with its prefix, if any)."""
        tag = self._tag(element)
        quoted = f'"{escape_attribute(value)}"'.encode()
        for match in _ATTRIBUTE.finditer(self._text, element.start, tag.end()):
            if match["name"] == name.encode():
                self._edits.append((*match.span("quoted"), quoted))
                return
        self._insert(tag.start("end"), b" " + name.encode() + b"=" + quoted)

    def declares(self, element: Element, prefix: str) -> bool:
        """Whether the element's own start tag binds this namespace prefix."""
        tag = self._tag(element)
        wanted = f"xmlns:{prefix}".encode()
        found = _ATTRIBUTE.finditer(self._text, element.start, tag.end())
        return any(match["name"] == wanted for match in found)

    def append_child(self, element: Element, xml: str) -> None:
        """Add an element, given as text, behind the last child of `element`."""
        tag = self._tag(element)
        if tag["end"] == b">":
            self._insert(self._closing(element, tag.end()), xml.encode())
            return
        name = re.match(rb"<([^\s/>]+)", tag[0])
        assert name is not None
        self._edits.append((*tag.span("end"), b">" + xml.encode() + b"</" + name[1] + b">"))

    def to_bytes(self) -> bytes:
        """The document with all edits, in its own encoding; unedited it is byte-identical."""
        text = bytearray(self._text)
        # From behind, so that the places of the edits before stay right.
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2], reverse=True):
            text[start:end] = new
        body = bytes(text).decode("utf-8").encode(self._encoding.codec)
        return self._encoding.mark + body + self._encoding.tail

    def _insert(self, at: int, new: bytes) -> None:
        """Insert behind what was inserted there before."""
        for number, (start, end, old) in enumerate(self._edits):
            if start == end == at:
                self._edits[number] = (start, end, old + new)
                return
        self._edits.append((at, at, new))

    def _tag(self, element: Element) -> re.Match[bytes]:
        match = _START_TAG.match(self._text, element.start)
        if match is None:
            raise damaged(f"the start tag of {element.name} cannot be edited")
        return match

    def _closing(self, element: Element, after: int) -> int:
        """Where the end tag of an element starts whose start tag ends at `after`."""
        # The tree remembers starts only; the few callers that need an end pay for a second pass.
        parser = expat.ParserCreate("utf-8")
        depth = 0
        found = -1

        def opened(_name: str, _attributes: dict[str, str]) -> None:
            nonlocal depth
            if depth or parser.CurrentByteIndex == element.start:
                depth += 1

        def closed(_name: str) -> None:
            nonlocal depth, found
            if depth:
                depth -= 1
                if depth == 0:
                    found = parser.CurrentByteIndex

        parser.StartElementHandler = opened
        parser.EndElementHandler = closed
        parser.Parse(self._text, True)
        if found < after:
            raise damaged(f"the end tag of {element.name} cannot be found")
        return found


class _Builder:
    """Builds the tree of one document with expat, refusing what is not wanted."""

    def __init__(self) -> None:
        self._stack: list[Element] = []
        self._root: Element | None = None
        self._count = 0
        # A blank cannot be part of a name, so it can part namespace and local name.
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.StartElementHandler = self._open
        self._parser.EndElementHandler = self._close
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.EntityDeclHandler = self._refuse_entity

    def build(self, text: bytes) -> Element:
        """Parse and return the root."""
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            raise damaged(f"{error}") from error
        if self._root is None:
            raise damaged("it is empty")
        return self._root

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        # Counted while parsing: a hostile document is refused before it fills the memory.
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise damaged(f"it has more than {MAX_ELEMENTS} elements")
        if len(self._stack) >= MAX_DEPTH:
            raise damaged(f"it is nested deeper than {MAX_DEPTH}")
        namespace, local = _split(name)
        values: dict[str, str] = {}
        for key, value in attributes.items():
            space, plain = _split(key)
            values[f"{{{space}}}{plain}" if space else plain] = value
        element = Element(
            namespace=namespace,
            name=local,
            attributes=values,
            start=self._parser.CurrentByteIndex,
        )
        if self._stack:
            self._stack[-1].children.append(element)
        else:
            self._root = element
        self._stack.append(element)

    def _close(self, _name: str) -> None:
        self._stack.pop()

    def _refuse_doctype(self, *_details: object) -> None:
        raise damaged("it has a document type declaration, which is never needed and is refused")

    def _refuse_entity(self, *_details: object) -> None:
        raise damaged("it declares an entity, which is never needed and is refused")


def _split(name: str) -> tuple[str, str]:
    """Namespace and local name of what expat calls ``uri local``."""
    namespace, _, local = name.rpartition(" ")
    return namespace, local
