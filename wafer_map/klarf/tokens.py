"""The words of a KLARF file with their places, and the numbers among them."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple, NoReturn

from wafer_data.errors import InputError

_WORDS_12 = re.compile(r'"[^"\r\n]*"|;|[^\s;"]+|"')
_WORDS_18 = re.compile(r'"[^"\r\n]*"|[{};,]|[^\s{};,"]+|"')
_LINE_END = re.compile(r"\r\n|\n|\r")
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?\Z")
_MOST_INDEX = 2**31 - 1  # 1.8 declares die indices as int32
# Ten kilometres: what is larger is damage, and what is reckoned from it would overflow.
_MOST_LENGTH_UM = 1e10
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]{1,4})?\Z")


class Word(NamedTuple):
    """One word, string (with its quotes) or sign, and where it starts in the text."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Place behind its last character."""
        return self.start + len(self.text)

    @property
    def quoted(self) -> bool:
        """Whether it is a string."""
        return self.text.startswith('"')

    @property
    def value(self) -> str:
        """Its text without quotes."""
        return self.text[1:-1] if self.quoted else self.text


class Text:
    """A file's text: its words, and the line of each place.

    Attributes:
        source: how messages call the file.
        decimal: the sign that divides decimals, "." unless the reader finds that it is a comma.
    """

    def __init__(self, text: str, source: str) -> None:
        self.text, self.source, self.decimal = text, source, "."
        self._ends = [match.end() for match in _LINE_END.finditer(text)]

    def words(self, *, braces: bool) -> list[Word]:
        """All words in order.

        Args:
            braces: With the signs of version 1.8.

        Raises:
            InputError: For a string without end.
        """
        found = [
            Word(match.group(), match.start())
            for match in (_WORDS_18 if braces else _WORDS_12).finditer(self.text)
        ]
        for word in found:
            if word.text == '"':
                self.refuse(word.start, "a string without its closing quote")
        return found

    def line(self, place: int) -> int:
        """The line of a place, from 1."""
        return bisect_right(self._ends, place) + 1

    def refuse(self, place: int, reason: str) -> NoReturn:
        """Raise InputError with file, line and reason."""
        raise InputError(f"{self.source}, line {self.line(place)}: {reason}")

    def integer(self, word: Word, what: str) -> int:
        """The whole number that a word is. A float of a whole value counts (some tools write 3.0)."""
        if not word.quoted:
            if _INTEGER.match(word.text):
                return int(word.text)
            if _NUMBER.match(word.text) and float(word.text).is_integer() and abs(float(word.text)) < 2**53:
                return int(float(word.text))
        self.refuse(word.start, f"{what} must be a whole number, not {_short(word.text)}")

    def number(self, word: Word, what: str) -> float:
        """The finite number that a word is."""
        text = word.text
        if self.decimal == "," and _COMMA_NUMBER.match(text):
            text = text.replace(",", ".")
        if _NUMBER.match(text) and abs(value := float(text)) < float("inf"):
            return value
        self.refuse(word.start, f"{what} must be a number, not {_short(word.text)}")

    def index(self, word: Word, what: str) -> int:
        """The column or row of a die that a word is."""
        if abs(value := self.integer(word, what)) > _MOST_INDEX:
            self.refuse(word.start, f"{what} {_short(word.text)} is no die's index: damaged?")
        return value

    def length(self, word: Word, what: str, units_per_um: float = 1.0) -> float:
        """The length or place in micrometres that a word is, written in units of which a micrometre has so many."""
        # divided, not multiplied: 8765407 nm then is the same number as 8765.407 um of a file of version 1.2
        if abs(value := self.number(word, what) / units_per_um) > _MOST_LENGTH_UM:
            self.refuse(word.start, f"{what} {_short(word.text)} is larger than any wafer: damaged?")
        return value


def has_point(word: Word) -> bool:
    """Whether a word is a number with a decimal point."""
    return "." in word.text and _NUMBER.match(word.text) is not None


def has_comma(word: Word) -> bool:
    """Whether a word is a number with a comma in it."""
    return "," in word.text and _COMMA_NUMBER.match(word.text) is not None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
