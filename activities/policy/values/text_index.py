"""Index over the texts that a run has read: finds those that may contain a value. Pure: no clock, no I/O.

A decision may be about a run that has read thousands of texts, and looks at those alone that hold every mark of a
value. Marks are kept as hashes, so a text may be looked at in vain; it is never passed over.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Generic, Protocol, TypeVar, overload

from activities.policy.values.text_reading import TextReading
from activities.policy.values.token_keys import token_keys_of_text
from activities.policy.values.values import Value

BUCKETS = 1 << 16  # for hashes: a text of 4 KB fills one in fifty, and a run of 2,000 texts takes some 20 MB at most


class IndexedText(Protocol):
    """What can be put on a shelf."""

    @property
    def seq(self) -> int:
        """Its place in the transcript; never less than that of the one before."""

    @property
    def reading(self) -> TextReading:
        """Its text."""

    @property
    def traits(self) -> tuple[str, ...]:
        """What it is found by, besides its text."""

    @property
    def labelled(self) -> bool:
        """Whether there is a secret in it that no person gave: looked for once somebody asks, which takes longest."""


T = TypeVar("T", bound=IndexedText)


class TextIndex(Generic[T]):
    """Texts of one run. It only grows, and a `TextIndexView` of it stays what it was."""

    def __init__(self, texts: Iterable[T] = ()) -> None:
        self._texts: list[T] = []
        self._marked: dict[int, int] = {}  # bucket -> the texts that have a mark in it, one bit each
        self._traits: dict[str, int] = {}
        self._labelled = 0
        self._searched = 0  # texts that were searched for secrets
        for text in texts:
            self.add(text)

    def add(self, text: T) -> None:
        """Put a text at the end; here it is read."""
        bit = 1 << len(self._texts)
        marked = self._marked
        for mark in token_keys_of_text(text.reading):
            bucket = hash(mark) % BUCKETS
            marked[bucket] = marked.get(bucket, 0) | bit
        for trait in text.traits:
            self._traits[trait] = self._traits.get(trait, 0) | bit
        self._texts.append(text)

    def before(self, seq: int) -> "TextIndexView[T]":
        """Those that stand before a place in the transcript."""
        return TextIndexView(self, bisect_left(self._texts, seq, key=attrgetter("seq")))

    @property
    def all(self) -> "TextIndexView[T]":
        """Those that are there now."""
        return TextIndexView(self, len(self._texts))

    def text(self, index: int) -> T:
        """The text at a place."""
        return self._texts[index]

    def having(self, trait: str) -> int:
        """The texts that have a trait, one bit each."""
        return self._traits.get(trait, 0)

    def search(self) -> Iterator[T]:
        """Look for secrets where nobody has yet, one text after the other: whoever asks may pause in between."""
        while self._searched < len(self._texts):
            text = self._texts[self._searched]
            self._labelled |= text.labelled << self._searched
            self._searched += 1
            yield text

    @property
    def labelled(self) -> int:
        """The texts with a secret in them, one bit each."""
        for _ in self.search():
            pass
        return self._labelled

    def marked(self, value: Value) -> int:
        """The texts that may name a value, one bit each."""
        found = 0
        for marks in value.marks:
            holding = -1
            for mark in marks:
                holding &= self._marked.get(hash(mark) % BUCKETS, 0)
            found |= holding
        return found


class TextIndexView(Sequence[T]):
    """The first texts of a shelf, as many as there were."""

    def __init__(self, shelf: TextIndex[T], count: int) -> None:
        self._shelf = shelf
        self._count = count
        self._mask = (1 << count) - 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._shelf.text(place) for place in range(*index.indices(self._count))]
        return self._shelf.text(range(self._count)[index])

    def first(self, trait: str) -> T | None:
        """The first text that has a trait."""
        found = self._shelf.having(trait) & self._mask
        return self._shelf.text((found & -found).bit_length() - 1) if found else None

    @property
    def labelled(self) -> bool:
        """Whether there is a secret in one of them."""
        return bool(self._shelf.labelled & self._mask)

    def marked(self, value: Value) -> int:
        """Which of them may name a value, one bit each."""
        return self._shelf.marked(value) & self._mask

    def candidates(self, marked: int, trait: str | None = None) -> Iterator[T]:
        """Those of them, of a trait, newest first."""
        found = marked if trait is None else marked & self._shelf.having(trait)
        bits = f"{found:b}"
        at = bits.find("1")
        while at >= 0:
            yield self._shelf.text(len(bits) - 1 - at)
            at = bits.find("1", at + 1)
