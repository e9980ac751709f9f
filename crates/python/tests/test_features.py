"""The features of a fit: their order, words, contexts and tables."""

import json
import pickle
import re
import subprocess
from html import escape

import numpy as np
import pytest
import unmix


@pytest.fixture(scope="module")
def of_the_command(command, demo_fit, vocabulary, tmp_path_factory):
    """What the command says about the same fit."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.json"
    path.write_text(json.dumps(vocabulary))
    run = subprocess.run(
        [command, "features", demo_fit, "--json", "--vocabulary", path], capture_output=True, check=True
    )
    return json.loads(run.stdout)


def test_the_features_are_those_of_the_command_in_its_order(fit, of_the_command):
    table = fit.features()
    assert [feature.number for feature in table] == [feature["feature"] for feature in of_the_command["features"]]
    assert table.words_from == of_the_command["words_from"] == "vocabulary"
    for mine, theirs in zip(table, of_the_command["features"], strict=True):
        assert [(word.word, word.count) for word in mine.words] == [(w["word"], w["count"]) for w in theirs["words"]]
        assert [(c.before, c.word, c.after) for c in mine.contexts] == [
            (c["before"], c["word"], c["after"]) for c in theirs["contexts"]
        ]
        assert mine.statistics == theirs["statistics"]


def test_a_context_has_the_coefficients_of_its_tokens(fit):
    for feature in fit.features():
        for context in feature.contexts:
            assert context.coefficient == pytest.approx(fit.coefficients[context.row, feature.number])
            assert "".join(text for text, _, _ in context.tokens) == context.before + context.word + context.after
            assert max(coefficient for _, coefficient, in_word in context.tokens if in_word) == context.coefficient


def test_contexts_that_show_the_same_prompt_again_are_marked(fit):
    for feature in fit.features():
        prompts = [context.prompt for context in feature.contexts]
        assert [context.repeats for context in feature.contexts] == [p in prompts[:i] for i, p in enumerate(prompts)]


@pytest.mark.parametrize("sort", ["reading", "share", "index"])
def test_each_order_has_every_feature_once(fit, sort):
    table = fit.features(sort=sort)
    assert sorted(feature.number for feature in table) == list(range(8))
    if sort == "share":
        assert [feature.share for feature in table] == sorted((feature.share for feature in table), reverse=True)


def test_an_order_that_the_fit_does_not_know_is_refused(fit):
    with pytest.raises(ValueError, match="single run"):
        fit.features(sort="reproducibility")
    with pytest.raises(ValueError, match="reading, share, index, reproducibility"):
        fit.features(sort="size")


def test_a_table_is_a_sequence_of_features(fit):
    table = fit.features(sort="index", top=5)
    assert len(table) == 5 and table[-1].number == 4 and [feature.number for feature in table[1:3]] == [1, 2]
    assert table.of(3) is table[3]
    with pytest.raises(KeyError, match="feature 7"):
        table.of(7)
    assert len(table.to_dict()) == 5


def test_a_table_becomes_a_data_frame(fit):
    frame = fit.features(sort="index").to_pandas()
    assert list(frame.index) == list(range(8)) and "reproducibility" not in frame.columns
    assert frame["active_share"].to_numpy() == pytest.approx((fit.coefficients > 0).mean(axis=0))


def test_one_feature_can_be_read_by_its_number(fit):
    feature = fit.feature(3, contexts=4)
    assert feature.number == 3 and 0 < len(feature.contexts) <= 10
    assert [context.row for context in fit.contexts(3, top=4)] == [context.row for context in feature.contexts[:4]]
    weights = fit.components[3] / np.linalg.norm(fit.components[3])
    neuron, weight = feature.neurons[0]
    assert neuron == np.abs(weights).argmax() and weight == pytest.approx(weights[neuron])
    for number in (-1, 8):
        with pytest.raises(IndexError, match="features 0 to 7"):
            fit.feature(number)


def test_without_a_tokenizer_numbers_stand_for_words(demo_fit):
    table = unmix.load(demo_fit).features()
    assert table.words_from == "token_ids" and table[0].words[0].word.isdigit()
    assert "with_tokenizer" in repr(table) and "with_tokenizer" in table._repr_html_()


@pytest.mark.parametrize("form", ["dict", "list", "path", "folder", "tokenizer"])
def test_words_come_from_any_kind_of_vocabulary(demo_fit, vocabulary, tmp_path, form):
    class Tokenizer:
        def get_vocab(self):
            return vocabulary

    by_id = [f"<{id}>" for id in range(max(vocabulary.values()) + 1)]
    for text, id in vocabulary.items():
        by_id[id] = text
    (tmp_path / "tokenizer.json").write_text(json.dumps(vocabulary))
    tokenizer = {
        "dict": vocabulary,
        "list": by_id,
        "path": tmp_path / "tokenizer.json",
        "folder": str(tmp_path),
        "tokenizer": Tokenizer(),
    }[form]
    words = unmix.load(demo_fit).features(sort="index", tokenizer=tokenizer)[0].words
    assert words == unmix.load(demo_fit).with_tokenizer(vocabulary).features(sort="index")[0].words
    assert not words[0].word.isdigit()


def test_words_come_from_the_strings_of_activations(activations, demo_fit, token_strings, vocabulary):
    own = unmix.fit(
        unmix.Activations(activations, token_strings=token_strings), n_components=8, max_iter=5, device="cpu"
    )
    assert own.features().words_from == "tokens"
    assert own.features()[0].words[0].name in {word.strip() or word for word in vocabulary} | {
        "full stop “.”",
        "comma “,”",
    }


def test_a_tokenizer_takes_no_strings_from_tokens_without_ids(vocabulary):
    X = np.random.default_rng(0).normal(size=(60, 20))
    strings = [f"word {row}" for row in range(60)]
    named = unmix.fit(unmix.Activations(X, token_strings=strings), n_components=4, max_iter=5, device="cpu")
    table = named.with_tokenizer(vocabulary).features()
    assert table.words_from == "tokens" and table[0].words == named.features()[0].words


def test_what_is_no_tokenizer_is_refused(fit, tmp_path):
    with pytest.raises(TypeError, match="int"):
        fit.with_tokenizer(3)
    with pytest.raises(ValueError, match="lacks"):
        fit.with_tokenizer(["a", "b"])
    with pytest.raises(OSError, match=r"none\.json"):
        fit.with_tokenizer(tmp_path / "none.json")


def test_tokens_that_a_tokenizer_lacks_are_told(demo_fit, vocabulary):
    text = max(vocabulary, key=vocabulary.get)
    few = {known: id for known, id in vocabulary.items() if known != text}
    with pytest.warns(UserWarning, match=re.escape(f"[id {vocabulary[text]}]")):
        unmix.load(demo_fit).with_tokenizer(few)


def test_any_text_is_harmless_in_a_notebook(demo_fit, vocabulary):
    hostile = "<script>alert('x')</script>\u202e&"
    bad = {hostile + str(id): id for id in vocabulary.values()}
    fit = unmix.load(demo_fit).with_tokenizer(bad)
    for html in (fit.features()._repr_html_(), fit.feature(0)._repr_html_()):
        assert "<script" not in html and "\u202e" not in html and "&lt;script&gt;" in html
    assert "\u202e" not in repr(fit.features())


def test_a_notebook_shows_each_feature_shaded_without_scripts(fit):
    table = fit.features()
    html = table._repr_html_()
    assert html.count("<tr>") == len(table) + 1 and "<script" not in html and "http" not in html
    assert html.count("background: rgba(240") >= len(table)
    assert f"{len(table)} features" in html


def test_a_fit_of_several_runs_marks_doubtful_features(command, activations, vocabulary, tmp_path):
    arguments = ["fit", activations, "--rank", "8", "--runs", "3", "--out", tmp_path / "runs", "--engine", "cpu", "-q"]
    subprocess.run([command, *arguments, "--max-iterations", "10"], check=True)
    fit = unmix.load(tmp_path / "runs").with_tokenizer(vocabulary)
    table = fit.features(sort="reproducibility")
    found = [feature.reproducibility for feature in table]
    assert found == sorted(found, reverse=True) and "reproducibility" in table.to_pandas().columns
    doubtful = [feature for feature in table if not feature.is_reproducible]
    sure = [feature for feature in table if feature.is_reproducible]
    assert all(low.reproducibility < high.reproducibility for low in doubtful for high in sure)
    assert table._repr_html_().count("unmix-doubt'") == len(doubtful)
    assert "runs" in repr(table)


def test_a_fit_keeps_its_tokenizer_when_it_is_pickled(fit):
    again = pickle.loads(pickle.dumps(fit))
    assert again.features().words_from == "vocabulary" and again.name == fit.name == "demo"


def test_advice_is_in_the_words_of_python():
    from unmix._advice import in_python

    assert in_python("Ask for fewer features with --rank.") == "Ask for fewer features with n_components."
    assert in_python("--solver hals, the default, helps.") == 'solver="hals", the default, helps.'


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fit: fit.features(top=-1), "top=-1: a whole number from 0"),
        (lambda fit: fit.features(contexts=-1), "contexts=-1: a whole number from 0"),
        (lambda fit: fit.contexts(0, top=-1), "top=-1: a whole number from 0"),
        (lambda fit: fit.contexts(0, words=-1), "words=-1: a whole number from 0"),
    ],
)
def test_negative_numbers_of_things_to_show_are_refused(fit, call, message):
    with pytest.raises(ValueError, match=message):
        call(fit)


def test_a_fit_and_a_context_show_themselves_in_a_notebook(fit):
    assert "8 features" in fit._repr_html_() and "fit.features()" in fit._repr_html_()
    context = fit.contexts(0, top=1)[0]
    bold = [escape(text.lstrip(" ")) for text, _, in_word in context.tokens if in_word]
    assert bold and all(f"<b>{text}</b>" in context._repr_html_() for text in bold)


def test_a_warning_points_at_the_line_of_the_user(demo_fit, vocabulary):
    some = dict(list(vocabulary.items())[1:])
    with pytest.warns(UserWarning, match="has no text for") as warned:
        unmix.load(demo_fit).with_tokenizer(some)
    assert {warning.filename for warning in warned} == {__file__}
