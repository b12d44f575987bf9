"""A page of documentation as data: its blocks, links, code, commands and tables."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+=.*")
_ENDS_COMMAND = {"&&", "||", "|", ";", "&"}


@dataclass(frozen=True, slots=True)
class Page:
    """A file of Markdown."""

    root: Path
    """Of the repository."""
    name: str
    """Path below the root."""
    text: str

    @property
    def folder(self) -> Path:
        return (self.root / self.name).parent

    @property
    def blocks(self) -> list["Block"]:
        """Fenced blocks, without their indentation."""
        return [
            Block(language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
            for indent, language, text in _FENCE.findall(self.text)
        ]

    @property
    def prose(self) -> str:
        """Everything else."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """Targets, as they are written."""
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """Of the headings, by GitHub's rules."""
        found: set[str] = set()
        for heading in _HEADING.findall(self.prose):
            words = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            again = sum(re.sub(r"-\d+$", "", anchor) == words for anchor in found)
            found.add(f"{words}-{again}" if again else words)
        return found

    @property
    def code(self) -> list[str]:
        """What is between backticks in the prose."""
        return [" ".join(span.split()) for span in _CODE.findall(self.prose)]

    @property
    def commands(self) -> list[str]:
        """Of its shell blocks, one by one, without variables that are set for them."""
        return [c for block in self.blocks for c in block.commands]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Of `console`, what follows a `$`; of `sh`, everything."""
        if self.language == "console":
            lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
            return commands("\n".join(lines))
        return commands(self.text) if self.language == "sh" else []


def commands(shell: str) -> list[str]:
    """The simple commands of a shell text. `a && B=1 c  # why` is `a` and `c`."""
    found: list[list[str]] = []
    for line in shell.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        found.append([])
        for word in lexer:
            if word in _ENDS_COMMAND:
                found.append([])
            elif found[-1] or not _ASSIGNMENT.fullmatch(word):
                found[-1].append(word)
    return [" ".join(words) for words in found if words]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells without the line of dashes; the first row is the head."""

    rows: list[list[str]]
    after: str
    """The paragraph that follows, on one line."""


def tables(text: str) -> list[Table]:
    found = []
    for match in _TABLE.finditer(text):
        rows = [[c.strip() for c in line[1:-1].split("|")] for line in match[0].splitlines()]
        rows = [row for row in rows if set("".join(row)) - set("-")]
        after, *_ = text[match.end() :].strip().split("\n\n")
        found.append(Table(rows, " ".join(after.split())))
    return found


def page(root: Path, name: str) -> Page:
    return Page(root, name, (root / name).read_text(encoding="utf-8"))


def pages(root: Path) -> list[Page]:
    """All that users read."""
    paths = [
        root / "README.md",
        root / "SECURITY.md",
        *sorted((root / "docs").glob("*.md")),
        root / "k8s" / "README.md",
    ]
    return [page(root, str(path.relative_to(root))) for path in paths if path.is_file()]
