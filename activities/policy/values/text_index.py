"""Index over the texts that a run has read: finds those that may name a value. Pure: no clock, no I/O.

A run may have read thousands of texts, so only those with all token keys of a value are searched for it. The index
stores hashes of the keys. It may return texts that do not name the value, but never misses one that does.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Generic, Protocol, TypeVar, overload

from activities.policy.values.text_reading import TextReading
from activities.policy.values.token_keys import token_keys_of_text
from activities.policy.values.values import Value

BUCKETS = 1 << 16  # number of hashes; a text of 4 KB uses 2 % of them, and 2,000 texts take at most about 20 MB


class IndexedText(Protocol):
    """A text that can be added to a TextIndex."""

    @property
    def seq(self) -> int:
        """Its sequence number in the transcript; not smaller than that of the text added before."""

    @property
    def reading(self) -> TextReading:
        """The parsed text."""

    @property
    def traits(self) -> tuple[str, ...]:
        """Further properties to find it by, such as its origin."""

    @property
    def has_secret(self) -> bool:
        """Whether it contains a secret that no person wrote; slow, so it is computed only when needed."""


T = TypeVar("T", bound=IndexedText)


class TextIndex(Generic[T]):
    """Indexes the texts of one run. Texts are only added, so a `TextIndexView` of it never changes."""

    def __init__(self, texts: Iterable[T] = ()) -> None:
        self._texts: list[T] = []
        self._by_bucket: dict[int, int] = {}  # bucket -> bit set of the texts that have a key in it
        self._by_trait: dict[str, int] = {}  # trait -> bit set of the texts that have it
        self._with_secrets = 0  # bit set of the texts that contain a secret
        self._searched = 0  # number of texts that were searched for secrets
        for text in texts:
            self.add(text)

    def add(self, text: T) -> None:
        """Append a text and index its token keys."""
        bit = 1 << len(self._texts)
        by_bucket = self._by_bucket
        for key in token_keys_of_text(text.reading):
            bucket = hash(key) % BUCKETS
            by_bucket[bucket] = by_bucket.get(bucket, 0) | bit
        for trait in text.traits:
            self._by_trait[trait] = self._by_trait.get(trait, 0) | bit
        self._texts.append(text)

    def before(self, seq: int) -> "TextIndexView[T]":
        """A view of the texts before a sequence number of the transcript."""
        return TextIndexView(self, bisect_left(self._texts, seq, key=attrgetter("seq")))

    @property
    def all(self) -> "TextIndexView[T]":
        """A view of all current texts."""
        return TextIndexView(self, len(self._texts))

    def text(self, index: int) -> T:
        """The text at an index."""
        return self._texts[index]

    def with_trait(self, trait: str) -> int:
        """The bit set of the texts that have a trait."""
        return self._by_trait.get(trait, 0)

    def search_for_secrets(self) -> Iterator[T]:
        """Search the texts that were not searched yet for secrets; yields each, so that the caller may pause."""
        while self._searched < len(self._texts):
            text = self._texts[self._searched]
            self._with_secrets |= text.has_secret << self._searched
            self._searched += 1
            yield text

    @property
    def with_secrets(self) -> int:
        """The bit set of the texts that contain a secret."""
        for _ in self.search_for_secrets():
            pass
        return self._with_secrets

    def matching(self, value: Value) -> int:
        """The bit set of the texts that may name a value."""
        found = 0
        for keys in value.token_keys:
            have_all_keys = -1
            for key in keys:
                have_all_keys &= self._by_bucket.get(hash(key) % BUCKETS, 0)
            found |= have_all_keys
        return found


class TextIndexView(Sequence[T]):
    """The first `count` texts of an index."""

    def __init__(self, index: TextIndex[T], count: int) -> None:
        self._index = index
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
            return [self._index.text(each) for each in range(*index.indices(self._count))]
        return self._index.text(range(self._count)[index])

    def first(self, trait: str) -> T | None:
        """The first text that has a trait, or None."""
        found = self._index.with_trait(trait) & self._mask
        return self._index.text((found & -found).bit_length() - 1) if found else None

    @property
    def has_secret(self) -> bool:
        """Whether one of the texts contains a secret."""
        return bool(self._index.with_secrets & self._mask)

    def matching(self, value: Value) -> int:
        """The bit set of the texts that may name a value."""
        return self._index.matching(value) & self._mask

    def candidates(self, bit_set: int, trait: str | None = None) -> Iterator[T]:
        """The texts of a bit set that have a trait, newest first."""
        found = bit_set if trait is None else bit_set & self._index.with_trait(trait)
        bits = f"{found:b}"
        at = bits.find("1")
        while at >= 0:
            yield self._index.text(len(bits) - 1 - at)
            at = bits.find("1", at + 1)
