"""What a fit means: the methods of :class:`unmix.Fit` that read its features."""

from __future__ import annotations

import functools
import operator
import os
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _unmix
from ._vocabulary import read_text
from .features import Context, Feature, FeatureTable, feature_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .comparison import Comparison
    from .concepts import ConceptTable
    from .export import Export
    from .lens import LensTable
    from .report import Report
    from .tree import FeatureTree


_Fit = TypeVar("_Fit", bound="Analysis")


class Analysis:
    """What a fit means. The part of :class:`unmix.Fit` that reads its features."""

    components: NDArray[np.float32]
    columns: dict[str, NDArray[np.int64]]
    run: dict[str, Any]

    def __init__(
        self,
        native: _unmix.Fit,
        token_strings: list[str] | None = None,
        tokenizer: Any = None,
        name: str = "fit",
    ) -> None:
        self._native = native
        #: The text of each token, str [n], if the activations had them. They are not part of the folder.
        self.token_strings = token_strings
        self._tokenizer = tokenizer
        #: What reports and comparisons call the fit: the name of its folder, if it was read from one.
        self.name = name

    @classmethod
    def _read(cls: type[_Fit], path: str | os.PathLike[str]) -> _Fit:
        """Read the fit in a folder."""
        return cls(_unmix.Fit.load(path), name=os.path.basename(os.path.realpath(path)))

    def _other(self: _Fit, fit: _Fit | str | os.PathLike[str]) -> _Fit:
        """Another fit or the one in a folder, with this one's tokenizer if it brings no text of its own."""
        other = type(self)._read(fit) if isinstance(fit, (str, os.PathLike)) else fit
        knows_words = other._tokenizer is not None or other.token_strings is not None
        if knows_words or self._tokenizer is None or "token_ids" not in other.columns:
            return other
        return other.with_tokenizer(self._tokenizer)

    def with_tokenizer(self: _Fit, tokenizer: Any) -> _Fit:
        """Return the same fit, with the text of its tokens from a tokenizer.

        Parameters
        ----------
        tokenizer : object
            A tokenizer of transformers or tokenizers, a path of ``tokenizer.json`` or ``vocab.json`` (or of the folder
            that holds the first), a list of strings by token id, or a dict from string to id.

        Returns
        -------
        Fit
            It shares its matrices with this one.

        Raises
        ------
        TypeError
            If the tokenizer is none of these.
        ValueError
            If it cannot be read, or does not have most of the fit's token ids.

        Examples
        --------
        >>> fit.with_tokenizer(tokenizer).features(top=1).words_from
        'vocabulary'
        """
        fit = type(self)(self._native, None, tokenizer, self.name)
        # A tokenizer that cannot be read is refused here rather than later.
        _ = fit._text
        return fit

    @functools.cached_property
    def _text(self) -> _unmix.Text:
        return read_text(self._native, self._tokenizer, self.token_strings)

    def _text_by(self, tokenizer: Any) -> _unmix.Text:
        return self._text if tokenizer is None else self.with_tokenizer(tokenizer)._text

    def _feature_number(self, number: int) -> int:
        number = operator.index(number)
        features = self.components.shape[0]
        if not 0 <= number < features:
            raise IndexError(f"there is no feature {number}: the fit has features 0 to {features - 1}")
        return number

    def features(
        self, sort: str = "reading", top: int | None = None, contexts: int = 2, tokenizer: Any = None
    ) -> FeatureTable:
        """List the features of the fit: the words at which each is strongest, and how much it explains.

        Parameters
        ----------
        sort : {"reading", "share", "reproducibility", "index"}
            ``"reading"`` begins with features that can be trusted and read: those that other runs find again, and of
            these the ones whose strongest words agree. ``"reproducibility"`` needs a fit of several runs.
        top : int, optional
            Most features. By default all.
        contexts : int
            Contexts of each feature that are shown.
        tokenizer : object, optional
            Gives the text of tokens, as for :meth:`with_tokenizer`, which remembers it.

        Returns
        -------
        FeatureTable

        Raises
        ------
        ValueError
            If there is no such order, or the fit does not know the reproducibility of features.

        Examples
        --------
        >>> table = fit.features(sort="share", top=3)
        >>> len(table)
        3
        >>> table[0].share >= table[1].share
        True
        >>> list(table.to_pandas().columns)[:2]
        ['share', 'active_share']
        """
        return feature_table(self._text_by(tokenizer), sort=sort, top=top, contexts=contexts)

    def feature(self, number: int, contexts: int = 20, words: int = 12, tokenizer: Any = None) -> Feature:
        """Read one feature: its words, contexts, neurons and statistics.

        Parameters
        ----------
        number : int
            The row of ``components``, from 0.
        contexts : int
            Most words in context.
        words : int
            Most words of context on each side.
        tokenizer : object, optional
            As for :meth:`features`.

        Returns
        -------
        Feature

        Raises
        ------
        IndexError
            If there is no such feature.

        Examples
        --------
        >>> feature = fit.feature(3)
        >>> feature.number
        3
        >>> feature.contexts[0].coefficient == fit.coefficients[:, 3].max()
        True
        """
        number = self._feature_number(number)
        text = self._text_by(tokenizer)
        return feature_table(text, sort="index", numbers=[number], contexts=contexts, words=words)[0]

    def contexts(self, number: int, top: int = 20, words: int = 12, tokenizer: Any = None) -> list[Context]:
        """List the words at which a feature is strongest, in their text, strongest first.

        Parameters
        ----------
        number : int
            The feature.
        top : int
            Most contexts.
        words : int
            Most words of context on each side.
        tokenizer : object, optional
            As for :meth:`features`.

        Returns
        -------
        list of Context

        Raises
        ------
        IndexError
            If there is no such feature.

        Examples
        --------
        >>> [context.coefficient > 0 for context in fit.contexts(0, top=2)]
        [True, True]
        """
        return self.feature(number, top, words, tokenizer).contexts[:top]

    def lens(
        self,
        model: Any = None,
        layer: int | None = None,
        *,
        features: list[int] | None = None,
        neurons: list[int] | None = None,
        top: int = 8,
        tokenizer: Any = None,
        down_projection: Any = None,
        unembedding: Any = None,
        final_norm: Any = None,
        norm: str | None = None,
        epsilon: float | None = None,
        model_type: str | None = None,
        expert: int | None = None,
    ) -> LensTable:
        """Read what features make the model say: the tokens that each promotes and suppresses (the logit lens).

        Parameters
        ----------
        model : object, path or list of paths, optional
            The model whose activations were factorized: a model of transformers, TransformerLens or nnsight in memory,
            or safetensors files of it or a folder of them. None if the weights are given as arrays.
        layer : int, optional
            The layer of the activations, from 0. Needed if the model has several.
        features : list of int, optional
            Only these features, in this order. By default all.
        neurons : list of int, optional
            Single neurons, for comparison.
        top : int
            Tokens in each list.
        tokenizer : object, optional
            As for :meth:`features`. By default the one that the fit remembers.
        down_projection : array [d_model, d_ff] or [d_ff, d_model], or str, optional
            The MLP's down-projection, or the name of its tensor in the files.
        unembedding : array [vocabulary, d_model] or str, optional
            The unembedding, or the name of its tensor.
        final_norm : array [d_model] or str, optional
            Weights of the final norm, or the name of their tensor.
        norm : {"rms", "rms-plus-one", "layer", "layer-plus-one", "none"}, optional
            Kind of the final norm, if neither the model nor its files say it.
        epsilon : float, optional
            The final norm's ε, likewise.
        model_type : str, optional
            Type of the model, as ``model_type`` in its ``config.json``, likewise.
        expert : int, optional
            The expert of the activations, from 0, if the layer routes tokens between experts.

        Returns
        -------
        LensTable

        Raises
        ------
        TypeError
            If `model` is nothing of the kind.
        ValueError
            If a tensor is not found or does not fit, or it is not known how the model is built.
        IndexError
            If there is no such feature.

        Examples
        --------
        >>> weights = np.random.default_rng(0).normal(size=(2, 32, fit.components.shape[1])).astype(np.float32)
        >>> table = fit.lens(down_projection=weights[0], unembedding=weights[1].T, norm="rms", features=[2], top=3)
        >>> len(table.promoted(2))
        3
        """
        from ._weights import weights_of
        from .lens import lens

        weights = weights_of(
            model,
            layer=layer,
            down_projection=down_projection,
            unembedding=unembedding,
            final_norm=final_norm,
            norm=norm,
            epsilon=epsilon,
            model_type=model_type,
            expert=expert,
        )
        chosen = None if features is None else [self._feature_number(number) for number in features]
        return lens(self._text_by(tokenizer), weights, chosen, [operator.index(j) for j in neurons or []], top)

    def concepts(
        self,
        labels: Any,
        activations: Any = None,
        *,
        neutral: str = "neutral",
        level: str = "concept",
        purity_tokens: int = 25,
        permutations: int = 1000,
        random_state: int = 0,
    ) -> ConceptTable:
        """Score how well features detect concepts, on labelled prompts.

        For each concept, the feature that ranks half of the prompts best is chosen, and scored on the other half. The
        same is done with shuffled labels, and with a direction that knows the labels.

        Parameters
        ----------
        labels : path, list, dict or DataFrame
            What each prompt is about: a file (JSON, JSON lines, CSV); a list of concepts in the order of the prompts; a
            list of dicts or a DataFrame with ``concept`` and, optionally, ``id``, ``parent`` and ``split``; or a dict
            from the number of a prompt to its concept.
        activations : Activations, array [n, d], path or paths, optional
            Activations to score on, of the same layer and with ``prompt_ids``. By default the files that were fitted.
        neutral : str
            The label of prompts about nothing in particular.
        level : {"concept", "parent"}
            Score concepts, or the wider concepts that are their parents.
        purity_tokens : int
            Strongest tokens by which the purity of a feature is judged.
        permutations : int
            How often labels are shuffled, to show what chance gives. 0 leaves this out.
        random_state : int
            Seed of the shuffles.

        Returns
        -------
        ConceptTable

        Raises
        ------
        ValueError
            If the activations are not at hand or have no ``prompt_ids``, or labels do not go with the prompts.
        OSError
            If the files that were fitted are not there any more.

        Examples
        --------
        >>> table = fit.concepts(labels, permutations=0)
        >>> 0 <= table.summary["auc_mean"] <= 1
        True
        """
        from .concepts import concepts, scoring

        options = scoring(activations, neutral, level, purity_tokens, permutations, random_state)
        return concepts(self._text, labels, options)

    def tree(
        self, ranks: list[int] | None = None, *, threshold: float = 0.3, most_children: int = 8, tokenizer: Any = None
    ) -> FeatureTree:
        """Find how the features nest: they are factorized themselves, with fewer and fewer features.

        Parameters
        ----------
        ranks : list of int, optional
            Number of features of each level, falling. By default a half, a quarter and an eighth of the fit's.
        threshold : float
            Children of at least this share of the strongest child's strength are shown, above 0 and up to 1.
        most_children : int
            Most children that are shown for a parent.
        tokenizer : object, optional
            As for :meth:`features`.

        Returns
        -------
        FeatureTree

        Raises
        ------
        ValueError
            If ranks do not fall from the fit's, or the fit has too few features.

        Examples
        --------
        >>> fit.tree([4, 2]).ranks
        [4, 2]
        """
        from .tree import tree

        return tree(self._text_by(tokenizer), ranks, threshold, most_children)

    def compare(
        self: _Fit,
        *others: _Fit | str | os.PathLike[str],
        by: str | None = None,
        page: str | os.PathLike[str] | None = None,
        force: bool = False,
    ) -> Comparison:
        """Compare the features with those of other fits: how stable are they, and how do they split and persist?

        Parameters
        ----------
        *others : Fit or path
            Other fits over the same neurons or of the same tokens, or their folders.
        by : {"cosine", "correlation"}, optional
            By what features are compared. By default the cosine for fits of one layer, and the correlation of the
            coefficients for fits of different activations of the same tokens.
        page : path, optional
            Also write a page that shows how features persist, split and merge from each fit to the next.
        force : bool
            Replace an earlier page of that name.

        Returns
        -------
        Comparison

        Raises
        ------
        ValueError
            If the fits have neither neurons nor tokens in common, or the page exists.

        Examples
        --------
        >>> round(fit.compare(fit).stability[0], 6)
        1.0
        """
        from .comparison import compare, unique

        if not others:
            raise ValueError("compare: another fit is needed, or the path of its folder")
        fits = [self, *map(self._other, others)]
        return compare(list(zip(unique([fit.name for fit in fits]), fits, strict=True)), by, page, force)

    def report(
        self: _Fit,
        path: str | os.PathLike[str] = "report.html",
        *,
        labels: Any = None,
        model: Any = None,
        layer: int | None = None,
        beside: _Fit | str | os.PathLike[str] | None = None,
        title: str | None = None,
        activations: Any = None,
        contexts: int = 20,
        window: int = 12,
        ranks: list[int] | None = None,
        tokenizer: Any = None,
        force: bool = False,
        neutral: str = "neutral",
        level: str = "concept",
        permutations: int = 1000,
        random_state: int = 0,
    ) -> Report:
        """Write a page about the features: contexts, promoted tokens, concepts, tree, map.

        Parameters
        ----------
        path : path
            The file to write. It needs no network and no other file.
        labels : path, list, dict or DataFrame, optional
            Labels of the prompts, to score concepts, as for :meth:`concepts`.
        model : object, path or list of paths, optional
            The model, for the tokens that features promote, as for :meth:`lens`.
        layer : int, optional
            The layer of the activations, from 0.
        beside : Fit or path, optional
            Another fit, to be read beside this one.
        title : str, optional
            By default the name of the fit.
        activations : Activations, array [n, d], path or paths, optional
            Activations to score concepts on, as for :meth:`concepts`.
        contexts : int
            Most contexts of each feature where it is strongest.
        window : int
            Tokens of context on each side.
        ranks : list of int, optional
            Levels of the tree, as for :meth:`tree`.
        tokenizer : object, optional
            As for :meth:`features`.
        force : bool
            Replace an earlier file of that name.
        neutral, level, permutations, random_state
            As for :meth:`concepts`.

        Returns
        -------
        Report

        Raises
        ------
        ValueError
            If the file exists and may not be replaced, or a part does not go with the fit.
        OSError
            If the system refuses to write. Nothing half-written is left.

        Examples
        --------
        >>> fit.report("report.html", ranks=[2]).path.name
        'report.html'
        """
        from ._weights import weights_of
        from .concepts import read_labels, scoring
        from .report import report
        from .tree import levels

        if layer is not None and model is None:
            raise ValueError(
                "layer: it chooses a layer of the model's weights, and there are none; give model=, or leave it out"
            )
        if activations is not None and labels is None:
            raise ValueError(
                "activations: concepts are scored on them, and there are no labels; give labels=, or leave it out"
            )
        fit = self if tokenizer is None else self.with_tokenizer(tokenizer)
        other = None if beside is None else fit._other(beside)
        request = {
            "path": path,
            "force": force,
            "title": title or self.name,
            "labels": None if labels is None else read_labels(labels),
            "scoring": scoring(activations, neutral, level, 25, permutations, random_state),
            "weights": None if model is None else weights_of(model, layer=layer),
            "levels": levels(ranks, 0.3, 8),
            "beside": None if other is None else (other.name, other._text),
            "contexts": contexts,
            "window": window,
        }
        return report(fit._text, request)

    def export(
        self,
        tool: str,
        path: str | os.PathLike[str],
        *,
        activations: Any = None,
        architecture: str | None = None,
        model: Any = None,
        layer: int | None = None,
        model_name: str | None = None,
        hook: str | None = None,
        splits: int | None = None,
        padding: int | None = None,
        tokenizer: Any = None,
        force: bool = False,
    ) -> Export:
        """Write the fit for another tool.

        Exports have features of unit norm. The scale moves into the coefficients.

        Parameters
        ----------
        tool : {"saelens", "sparsify", "delphi", "saedashboard", "neuronpedia", "steering"}
            The tool.
        path : path
            The folder to write.
        activations : Activations, array [n, d], path or paths, optional
            saelens, sparsify: the activations that were fitted, if they are no longer where they were. An affine encoder
            is fitted to them.
        architecture : {"standard", "matching-pursuit"}, optional
            saelens: how it encodes.
        model : object, path or list of paths, optional
            steering, neuronpedia: the model, as for :meth:`lens`.
        layer : int, optional
            The layer of the activations, from 0.
        model_name : str, optional
            The model's name, as the tool knows it.
        hook : str, optional
            Name of the hook or module. By default that of the layer's MLP activations.
        splits : int, optional
            delphi: number of files over which the features are spread.
        padding : int, optional
            delphi: token id that fills up rows, and stands in for ids that no tokenizer can decode.
        tokenizer : object, optional
            neuronpedia: as for :meth:`features`.
        force : bool
            Replace the folder if it holds an earlier export to the same tool.

        Returns
        -------
        Export

        Raises
        ------
        ValueError
            If the tool needs something that is missing, has no use for an option, or the folder may not be replaced.
        OSError
            If the system refuses to write. Nothing half-written is left.

        Examples
        --------
        >>> export = fit.export("saelens", "sae", architecture="matching-pursuit")
        >>> print(export.usage)
        from sae_lens import SAE
        sae = SAE.load_from_disk("sae")
        coefficients = sae.encode(activations)
        <BLANKLINE>
        """
        from ._weights import weights_of
        from .activations import as_activations
        from .export import export

        request = {
            "tool": tool,
            "path": path,
            "force": force,
            "activations": None if activations is None else as_activations(activations)._native,
            "architecture": architecture,
            "splits": splits,
            "padding": padding,
            "model_name": model_name,
            "layer": layer,
            "hook": hook,
            "weights": None if model is None else weights_of(model, layer=layer),
        }
        return export(self._text_by(tokenizer), request)

    def plot_loss(self, ax: Axes | None = None) -> Axes:
        """Plot the relative error ‖X − YZ‖² / ‖X‖² after each iteration.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw. By default a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> fit.plot_loss().get_ylabel()
        'relative error'
        """
        from .plots import plot_loss

        return plot_loss(self.run, ax)

    def plot_activations(self, number: int, bins: int = 32, ax: Axes | None = None) -> Axes:
        """Plot how the coefficients of a feature are distributed, over the tokens that use it.

        Parameters
        ----------
        number : int
            The feature.
        bins : int
            Number of equally wide bins from 0 to its largest coefficient.
        ax : matplotlib.axes.Axes, optional
            Where to draw. By default a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        IndexError
            If there is no such feature.

        Examples
        --------
        >>> fit.plot_activations(2).get_ylabel()
        'tokens'
        """
        from .plots import plot_activations

        return plot_activations(self._text, self._feature_number(number), bins, ax)

    def plot_map(self, ax: Axes | None = None) -> Axes:
        """Plot the features as dots: those that use the same neurons, or are active at the same tokens, lie close together.

        The positions are those of the report's map. The area of a dot is the feature's share. Its strongest word stands
        above it, if words are known, or else its number.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw. By default a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> len(fit.plot_map().texts) == fit.n_components
        True
        """
        from .plots import plot_map

        features = self.features(sort="index", contexts=0)
        words = self._text.source in ("tokens", "vocabulary")
        names = [feature.words[0].name if words and feature.words else str(feature.number) for feature in features]
        return plot_map(self._text, np.asarray([feature.share for feature in features]), names, ax)
