"""The texts that `collect` reads: lists, files, data sets, any iterable."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Texts = str | os.PathLike | Iterable[str | Mapping[str, Any]]

# Fields that would number the prompts, which `collect` does itself.
NUMBERS = ("prompt_id", "prompt_ids", "sequence_id", "sequence_ids")


class Text(NamedTuple):
    """A text and what else its record says of it."""

    text: str
    fields: dict[str, Any]
    # The number that the record gives to its prompt, if any.
    own_number: int | None = None


def read_texts(texts: Texts, text_key: str) -> Iterator[Text]:
    """The texts one by one.

    Raises
    ------
    TypeError, ValueError, OSError
        If `texts` holds something else, with the number of the text.
    """
    if isinstance(texts, Mapping):
        raise TypeError(
            f"texts has several parts ({', '.join(map(str, texts))}); "
            f"give one of them, such as texts[{next(iter(texts), '')!r}]"
        )
    if isinstance(texts, (str, os.PathLike)):
        path = Path(texts)
        if not path.is_file():
            raise FileNotFoundError(f"texts: there is no file {path}; give the path of a file, or texts in a list")
        return _of_file(path, text_key)
    try:
        records = iter(texts)
    except TypeError:
        raise TypeError(
            f"texts is of type {type(texts).__name__}; expected is a list of texts, or the path of a file"
        ) from None
    return (_of_record(record, text_key, f"text {number}") for number, record in enumerate(records))


def chain(digest: str, text: Text) -> str:
    """The digest of texts that were read, with one more."""
    record = json.dumps([digest, text.text, text.fields], sort_keys=True)
    return hashlib.sha256(record.encode("utf-8", "surrogatepass")).hexdigest()


def _of_file(path: Path, text_key: str) -> Iterator[Text]:
    is_json = path.suffix.lower() in (".jsonl", ".ndjson", ".json")
    # Bytes that are not UTF-8 are read as surrogates, so that the line is known.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            if not _is_unicode(line):
                raise ValueError(f"{place} is not UTF-8; save the file in UTF-8")
            if not is_json:
                yield Text(line.rstrip("\r\n"), {})
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{place} is not JSON ({error}); expected is a JSON object on each line, with {text_key!r}"
                ) from None
            yield _of_record(record, text_key, place)


def _of_record(record: Any, text_key: str, place: str) -> Text:
    if isinstance(record, str):
        return Text(_checked(record, place), {})
    if isinstance(record, list):
        raise TypeError(
            f"{place} is a list; expected is a string, or a dict with the key {text_key!r}. "
            "If it holds all texts, give the list itself: texts=json.load(open(path))"
        )
    if not isinstance(record, Mapping):
        raise TypeError(
            f"{place} is of type {type(record).__name__}; expected is a string, or a dict with the key {text_key!r}"
        )
    if text_key not in record:
        raise ValueError(
            f"{place} has no {text_key!r}; it has {', '.join(map(repr, record))}; say which is the text with text_key"
        )
    text = record[text_key]
    if not isinstance(text, str):
        raise TypeError(f"{place}: {text_key!r} is of type {type(text).__name__}, not a string")
    names = (*NUMBERS, "id", "ids")
    numbers = [str(record[key]) for name in names for key in record if str(key).lower() == name]
    own_number = next((int(number) for number in numbers if number.isdecimal()), None)
    others = {str(key): value for key, value in record.items() if key != text_key and str(key).lower() not in NUMBERS}
    return Text(_checked(text, place), {key: value for key, value in others.items() if _is_plain(value)}, own_number)


def _checked(text: str, place: str) -> str:
    """The text, if a tokenizer can read it."""
    if not _is_unicode(text):
        lone = next(index for index, letter in enumerate(text) if "\ud800" <= letter <= "\udfff")
        raise ValueError(
            f"{place} has half a character (U+{ord(text[lone]):04X}, a lone surrogate) at index {lone}; "
            'give text.encode("utf-8", "replace").decode()'
        )
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold the value as it is."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, (str, int, bool, type(None)))
