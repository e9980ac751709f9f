"""What the features of a fit mean: the methods of :class:`unmix.Fit` that read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from ._arguments import whole, wholes
from ._fit_text import FitText
from ._origin import check_site, layer_of
from .features import Context, Feature, FeatureTable, feature_table

if TYPE_CHECKING:
    from .comparison import Comparison
    from .concepts import ConceptTable
    from .lens import LensTable
    from .tree import FeatureTree

_Fit = TypeVar("_Fit", bound="FitReading")


class FitReading(FitText):
    """What the features of a fit mean."""

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
        >>> feature.contexts[0].coefficient == float(fit.coefficients[:, 3].max())
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
        return self.feature(number, whole("top", top), words, tokenizer).contexts[:top]

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
            The layer of the activations, from 0. By default the one that their files named. Needed if they named none and
            the model has several.
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

        Warns
        -----
        UserWarning
            If the fit is known to be of another layer than `layer`.

        Examples
        --------
        >>> random = np.random.default_rng(0)
        >>> down, unembedding = random.normal(size=(32, 1536)), random.normal(size=(49152, 32))
        >>> words = [f" word{id}" for id in range(49152)]
        >>> table = fit.lens(
        ...     down_projection=down, unembedding=unembedding, norm="rms", tokenizer=words, features=[2], top=3
        ... )
        >>> len(table.promoted(2))
        3
        """
        from ._weights import weights_of
        from .lens import lens

        check_site(self.run, "lens", "there is no lens for others")
        weights = weights_of(
            model,
            layer=layer_of(self.run, layer, down_projection),
            down_projection=down_projection,
            unembedding=unembedding,
            final_norm=final_norm,
            norm=norm,
            epsilon=epsilon,
            model_type=model_type,
            expert=expert,
        )
        chosen = None if features is None else [self._feature_number(number) for number in features]
        return lens(self._text_by(tokenizer), weights, chosen, wholes("neurons", neurons or []), whole("top", top))

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
            Replace an earlier page of that name. A file that is no page of unmix is never replaced.

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
