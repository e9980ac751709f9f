"""Features of a fit as people read them: words in context, shaded by how strongly the feature is active."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import _unmix
from ._advice import in_python
from ._arguments import optional_whole, whole
from ._html import escape, meter, page, shaded
from ._optional import needed
from ._terminal import fitted, joined, marked, percent, terminal_width

if TYPE_CHECKING:
    import pandas

#: Most rows of a table that are shown at once.
ROWS = 100


@dataclasses.dataclass(frozen=True)
class Word:
    """A word at which a feature is strong.

    Attributes
    ----------
    word : str
        The word as it is in the text.
    name : str
        What to call it: the word, or the names of its characters if it is no word, as in ``full stop “.”``.
    count : int
        How many of the feature's strongest words have this spelling.
    """

    word: str
    name: str
    count: int

    def __str__(self) -> str:
        return self.name if self.count == 1 else f"{self.name} ×{self.count}"


@dataclasses.dataclass(frozen=True)
class Context:
    """A word at which a feature is strong, with the text around it.

    Attributes
    ----------
    row : int
        Row of the word's strongest token in the activations that were given.
    token_id, prompt, position : int or None
        Id of that token, number of its prompt and place in it, if known.
    coefficient : float
        The feature's coefficient at that token.
    strength : float
        The coefficient times the norm of the feature, so that features can be compared.
    before, word, after : str
        The text before the word, the word, and the text after it.
    tokens : list of (str, float, bool)
        The same text token by token: its text, the coefficient, and whether it belongs to the word.
    cut_before, cut_after : bool
        Whether the prompt has more text before and after.
    repeats : bool
        Whether a stronger context shows the same place already.
    """

    row: int
    token_id: int | None
    prompt: int | None
    position: int | None
    coefficient: float
    strength: float
    before: str
    word: str
    after: str
    tokens: list[tuple[str, float, bool]]
    cut_before: bool
    cut_after: bool
    repeats: bool

    def __str__(self) -> str:
        before, after = ("… " if self.cut_before else ""), (" …" if self.cut_after else "")
        return f"{before}{marked(self.before, self.word, self.after)}{after}"

    def _repr_html_(self) -> str:
        return page(self._html(self.coefficient))

    def _html(self, largest: float) -> str:
        before, after = ("… " if self.cut_before else ""), (" …" if self.cut_after else "")
        parts = []
        for place, (text, coefficient, in_word) in enumerate(self.tokens):
            # After an ellipsis, the first token needs no blank of its own.
            shown = text if place > 0 else text.lstrip()
            parts.append(shaded(shown, coefficient / largest if largest else 0.0, in_word))
        return f"<div class='unmix-context'>{before}{''.join(parts)}{after}</div>"


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a fit. A notebook shows it as a card.

    Attributes
    ----------
    number : int
        Its row of ``components``, from 0.
    dead : bool
        Whether no token uses it.
    share : float
        How much the relative error would rise without it, from 0 to 1.
    active_share : float
        Share of the tokens that use it, from 0 to 1.
    reproducibility : float or None
        Mean cosine with the nearest feature of a consensus of half of the runs. None if the fit is of a single run.
    is_reproducible : bool or None
        Whether that is high enough to trust that other runs find the feature too.
    statistics : dict
        All of its statistics, as in ``run.json``.
    words : list of Word
        The different words at which it is strongest, strongest first.
    contexts : list of Context
        Its strongest words in their text, strongest first.
    neurons : list of (int, float)
        Its neurons with the largest weights, for the feature scaled to unit norm.
    distribution : dict
        How its coefficients above zero are distributed: ``active``, ``largest``, ``counts`` and ``quantiles``.

    Examples
    --------
    >>> feature = fit.feature(5)
    >>> feature.distribution["active"] == int((fit.coefficients[:, 5] > 0).sum())
    True
    """

    number: int
    dead: bool
    share: float
    active_share: float
    reproducibility: float | None
    is_reproducible: bool | None
    statistics: dict[str, Any]
    words: list[Word]
    contexts: list[Context]
    neurons: list[tuple[int, float]]
    distribution: dict[str, Any]

    @classmethod
    def _of(cls, value: dict[str, Any], reproducible: float) -> Feature:
        statistics = value["statistics"]
        agreed = statistics.get("reproducibility")

        def context(found: dict[str, Any]) -> Context:
            tokens = [(token["text"], token["coefficient"], token["in_word"]) for token in found["tokens"]]
            return Context(**{**found, "tokens": tokens})

        return cls(
            number=value["feature"],
            dead=value["dead"],
            share=statistics["explained_share"],
            active_share=statistics["active_share"],
            reproducibility=agreed,
            is_reproducible=None if agreed is None else agreed >= reproducible,
            statistics=statistics,
            words=[Word(**word) for word in value["words"]],
            contexts=[context(found) for found in value["contexts"]],
            neurons=[(neuron["neuron"], neuron["weight"]) for neuron in value["neurons"]],
            distribution=value["distribution"],
        )

    def to_dict(self) -> dict[str, Any]:
        """The feature as plain dictionaries, lists, numbers and strings."""
        return dataclasses.asdict(self)

    def shown_contexts(self, most: int) -> list[Context]:
        """The strongest contexts, without those that show the same place again, ``most`` at most."""
        return [context for context in self.contexts if not context.repeats][:most]

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("share", percent(self.share)), ("active", percent(self.active_share))]
        if self.reproducibility is not None:
            facts.append(("reproducibility", self._agreement()))
        return facts

    def _agreement(self) -> str:
        if self.reproducibility is None:
            return ""
        return f"{self.reproducibility:.2f}{'' if self.is_reproducible else ' ?'}"

    def _contexts_html(self, most: int) -> str:
        largest = self.contexts[0].coefficient if self.contexts else 0.0
        return "".join(context._html(largest) for context in self.shown_contexts(most))

    def _words_html(self) -> str:
        if self.dead:
            return "<span class='unmix-soft'>dead: no token uses it</span>"
        return f"<b>{escape(joined(self.words))}</b>"

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self._facts())
        words = "dead: no token uses it" if self.dead else joined(self.words)
        neurons = ", ".join(f"{neuron} ({weight:+.2f})" for neuron, weight in self.neurons[:6])
        lines = [f"Feature {self.number}: {words}", facts, *map(str, self.shown_contexts(5)), f"neurons {neurons}"]
        return "\n".join(fitted(line, terminal_width()) for line in lines)

    def _repr_html_(self) -> str:
        facts = " · ".join(f"{escape(name)} {escape(value)}" for name, value in self._facts())
        neurons = ", ".join(f"{neuron} ({weight:+.2f})" for neuron, weight in self.neurons[:8])
        return page(
            f"<div class='unmix-card'><div><span class='unmix-number'>{self.number}</span> {self._words_html()}</div>"
            f"<div class='unmix-soft'>{facts}</div>{self._contexts_html(12)}"
            f"<div class='unmix-soft'>neurons {escape(neurons)}</div></div>"
        )


class FeatureTable(Sequence[Feature]):
    """Features of a fit, in an order. A notebook shows them as a table.

    It is a sequence of :class:`Feature`: it has a length, and can be indexed by place, sliced and iterated.
    ``table.of(17)`` is the feature of number 17.

    Attributes
    ----------
    notes : list of dict
        What was found about the fit as a whole: ``level`` (``good``, ``note`` or ``warning``), ``text``, ``advice`` and
        ``features``.
    words_from : str
        Where words come from: ``tokens``, ``vocabulary``, ``token_ids`` or ``rows``.

    Examples
    --------
    >>> table = fit.features()
    >>> [feature.number for feature in table[:2]] == [table[0].number, table[1].number]
    True
    >>> table.of(5).number
    5
    """

    def __init__(self, features: list[Feature], about: dict[str, Any], shown: int) -> None:
        self._features = features
        self._about = about
        self._shown = shown
        self.notes: list[dict[str, Any]] = about["notes"]
        self.words_from: str = about["source"]

    def __len__(self) -> int:
        return len(self._features)

    @overload
    def __getitem__(self, place: int) -> Feature: ...
    @overload
    def __getitem__(self, place: slice) -> FeatureTable: ...
    def __getitem__(self, place: int | slice) -> Feature | FeatureTable:
        if isinstance(place, slice):
            return FeatureTable(self._features[place], self._about, self._shown)
        return self._features[place]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._features)

    def of(self, number: int) -> Feature:
        """The feature of this number.

        Raises
        ------
        KeyError
            If the table does not have it.
        """
        for feature in self._features:
            if feature.number == number:
                return feature
        raise KeyError(f"feature {number} is not in this table of {len(self)} features")

    def to_dict(self) -> list[dict[str, Any]]:
        """The features as plain dictionaries, lists, numbers and strings, in order."""
        return [feature.to_dict() for feature in self._features]

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each feature, in order, indexed by its number.

        Returns
        -------
        pandas.DataFrame
            Columns ``share``, ``active_share``, ``max_coefficient``, ``norm``, ``neurons`` (how many it has), ``dead``,
            ``words`` and ``context``, and ``reproducibility`` if the fit is a consensus.
        """
        pandas = needed("pandas", "tables")

        def row(feature: Feature) -> dict[str, Any]:
            statistics = feature.statistics
            values = {
                "share": feature.share,
                "active_share": feature.active_share,
                "max_coefficient": statistics["max_coefficient"],
                "norm": statistics["norm"],
                "neurons": statistics["nonzeros"],
                "dead": feature.dead,
                "words": joined(feature.words),
                "context": str(feature.contexts[0]) if feature.contexts else "",
            }
            return values | ({"reproducibility": feature.reproducibility} if self._about["runs"] else {})

        numbers = [feature.number for feature in self._features]
        return pandas.DataFrame(
            [row(feature) for feature in self._features], index=pandas.Index(numbers, name="feature")
        )

    def _summary(self) -> list[str]:
        about = self._about
        lines = [
            f"{about['count']} features of {about['kept']} neurons each explain {percent(1 - about['relative_error'])} of "
            f"{about['tokens']:,} tokens × {about['neurons']:,} neurons."
        ]
        if about["runs"]:
            lines.append(
                f"Reproducible: mean cosine between the feature and the nearest feature of a consensus of half of the "
                f"{about['runs']} runs. A question mark (below {about['reproducible']}) warns of features that other runs often do not find."
            )
        lines.extend(
            f"{note['level']}: {note['text']}. {note['advice']}".strip()
            for note in self.notes
            if note["level"] != "good"
        )
        if about["source"] == "token_ids":
            lines.append("Numbers are token ids; fit.with_tokenizer(tokenizer) shows words.")
        if about["source"] == "rows":
            lines.append("Numbers are rows of the activations; Activations with token_ids or token_strings show words.")
        if not about["knows_prompts"]:
            lines.append("Where prompts begin is not known: the activations came without prompt_ids or positions.")
        if len(self) > ROWS:
            lines.append(f"The first {ROWS} of {len(self)} features are shown; slice the table for others.")
        return lines

    def __repr__(self) -> str:
        width = terminal_width()
        agreed = "reproducible  " if self._about["runs"] else ""
        lines = [f"{'#':>4}  {'share':>8}  {'active':>6}  {agreed}strongest words, and where"]
        for feature in self._features[:ROWS]:
            numbers = f"{feature.number:>4}  {percent(feature.share):>8}  {percent(feature.active_share):>6}  "
            numbers += f"{feature._agreement():<12}  " if self._about["runs"] else ""
            words = "(dead: no token uses it)" if feature.dead else joined(feature.words)
            lines.append(fitted(numbers + words, width))
            blank = " " * len(numbers)
            lines.extend(fitted(blank + str(context), width) for context in feature.shown_contexts(self._shown))
        return "\n".join([*lines, "", *self._summary()])

    def _repr_html_(self) -> str:
        most = max((feature.share for feature in self._features), default=0.0)
        runs = self._about["runs"]
        titles = ["#", "share", "active", *(["reproducible"] if runs else []), "strongest words, and where"]
        rows = []
        for feature in self._features[:ROWS]:
            share = f"{meter(feature.share / most if most > 0 else 0.0)}{percent(feature.share)}"
            cells = [str(feature.number), share, percent(feature.active_share)]
            if runs:
                doubt = (
                    "" if feature.is_reproducible else " class='unmix-doubt' title='other runs often do not find it'"
                )
                cells.append(f"<span{doubt}>{feature._agreement()}</span>")
            numbers = "".join(f"<td class='unmix-number'>{cell}</td>" for cell in cells)
            contexts = feature._contexts_html(self._shown)
            rows.append(f"<tr>{numbers}<td class='unmix-text'><div>{feature._words_html()}</div>{contexts}</td></tr>")
        head = "".join(f"<th>{title}</th>" for title in titles)
        below = "".join(f"<div class='unmix-soft'>{escape(line)}</div>" for line in self._summary())
        return page(
            f"<table class='unmix-table'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{below}"
        )


def feature_table(
    text: _unmix.Text,
    sort: str = "reading",
    numbers: list[int] | None = None,
    top: int | None = None,
    contexts: int = 2,
    words: int = 8,
) -> FeatureTable:
    """The features of a fit as a table; see :meth:`unmix.Fit.features`."""
    top = optional_whole("top", top)
    contexts, words = whole("contexts", contexts), whole("words", words)
    looked_at = max(10, contexts)
    about = json.loads(_unmix.feature_summaries(text, numbers, sort, looked_at, words, 20))
    features = [Feature._of(value, about["reproducible"]) for value in about.pop("features")]
    about["count"] = len(features)
    about["knows_prompts"] = text.knows_prompts
    about["notes"] = [note | {"advice": in_python(note["advice"])} for note in about["notes"]]
    return FeatureTable(features[:top], about, contexts)
