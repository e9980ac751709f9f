"""What a fit is shown and written as: the methods of :class:`unmix.Fit` for reports, exports and plots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._arguments import optional_whole, whole
from ._fit_text import FitText
from ._origin import check_site, layer_of
from .features import feature_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .export import Export
    from .report import Report

_Fit = TypeVar("_Fit", bound="FitOutput")


class FitOutput(FitText):
    """Reports, exports and plots of a fit."""

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
        **weights: Any,
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
            The layer of the activations, from 0. By default the one that their files named.
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
            Replace an earlier page of that name. A file that is no page of unmix is never replaced.
        neutral, level, permutations, random_state
            As for :meth:`concepts`.
        **weights
            ``norm``, ``model_type``, ``down_projection`` and what else :meth:`lens` takes to find weights.

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

        with_lens = model is not None or bool(weights)
        if layer is not None and not with_lens:
            raise ValueError(
                "layer: it chooses a layer of the model's weights, and there are none; give model=, or leave it out"
            )
        if activations is not None and labels is None:
            raise ValueError(
                "activations: concepts are scored on them, and there are no labels; give labels=, or leave it out"
            )
        if with_lens:
            check_site(self.run, "model", "leave the weights out")
        layer = layer_of(self.run, layer, weights.get("down_projection"))
        fit = self if tokenizer is None else self.with_tokenizer(tokenizer)
        other = None if beside is None else fit._other(beside)
        request = {
            "path": path,
            "force": force,
            "title": title or self.name,
            "labels": None if labels is None else read_labels(labels),
            "scoring": scoring(activations, neutral, level, 25, permutations, random_state),
            "weights": weights_of(model, layer=layer, **weights) if with_lens else None,
            "levels": levels(ranks, 0.3, 8),
            "beside": None if other is None else (other.name, other._text),
            "contexts": whole("contexts", contexts),
            "window": whole("window", window),
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
        **weights: Any,
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
            The layer of the activations, from 0. By default the one that their files named.
        model_name : str, optional
            The model's name, as the tool knows it. By default the one that the files of the activations name, but not for
            neuronpedia, which has names of its own.
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
        **weights
            ``norm``, ``model_type``, ``down_projection`` and what else :meth:`lens` takes to find weights.

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

        if model is not None or weights:
            check_site(self.run, "model", "leave the weights out")
        layer = layer_of(self.run, optional_whole("layer", layer), weights.get("down_projection"))
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
            "weights": None if model is None and not weights else weights_of(model, layer=layer, **weights),
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
        ValueError
            If there are no bins.

        Examples
        --------
        >>> fit.plot_activations(2).get_ylabel()
        'tokens'
        """
        from .plots import plot_activations

        return plot_activations(self._text, self._feature_number(number), whole("bins", bins, least=1), ax)

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

        features = feature_table(self._text, sort="index")
        words = self._text.source in ("tokens", "vocabulary")
        names = [feature.words[0].name if words and feature.words else str(feature.number) for feature in features]
        return plot_map(self._text, np.asarray([feature.share for feature in features]), names, ax)
