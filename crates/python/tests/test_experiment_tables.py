"""The parts of the steering experiment that need no model: corpus, strength, stored lines, tables, judge."""

import http.server
import json
import math
import threading
from typing import ClassVar

import numpy as np
import pytest
from unmix.experiments import steering
from unmix.experiments.bootstrap import resampled_means
from unmix.experiments.corpus import Corpus
from unmix.experiments.dictionary import ranks
from unmix.experiments.judge import Judge, judge_texts
from unmix.experiments.page import page
from unmix.experiments.store import JUDGED, SCORES, TEXTS, Store
from unmix.experiments.strength import find_strengths
from unmix.experiments.table import Results

CONCEPTS = [f"concept {number}" for number in range(6)]
SETTINGS = {"targets": [0.1, 0.5], "generate_at": [0.5], "concepts": CONCEPTS, "lexicon_share": 0.5}


def scores(method, concept, seed, own, *, layer=3, auc=0.8):
    steps = [
        {
            "target": target,
            "kl": target,
            "reached": True,
            "strength": 1.0,
            "own": [own, own + 0.02],
            "others": [0.01, 0.01],
        }
        for target in SETTINGS["targets"]
    ]
    return {
        "layer": layer,
        "method": method,
        "concept": concept,
        "seed": seed,
        "features": [0],
        "auc_training": 1.0,
        "auc_held_out": auc,
        "steps": steps,
    }


def texts(method, concept, *, lexicon, surprise, distinct, target=0.5):
    step = {"target": target, "texts": ["a b", "c d"], "lexicon": [lexicon] * 2, "surprise": [surprise] * 2}
    return {
        "layer": 3,
        "method": method,
        "concept": concept,
        "seed": 0,
        "steps": [step | {"distinct_2": [distinct] * 2}],
    }


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "experiment", SETTINGS)


def filled(store):
    for number, concept in enumerate(CONCEPTS):
        store.add(SCORES, scores("diffmeans-neurons", concept, 0, 0.1 * number))
        for seed in (0, 1):
            store.add(SCORES, scores("snmf-hals", concept, seed, 0.1 * number + 0.2, auc=0.95 if number < 2 else 0.6))
        store.add(TEXTS, texts("unsteered", concept, lexicon=0.0, surprise=2.0, distinct=1.0, target=0.0))
        store.add(TEXTS, texts("snmf-hals", concept, lexicon=0.25, surprise=2.0 + math.log(2), distinct=1.0))
    return store


def row_of(rows, **wanted):
    [row] = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def test_a_score_is_the_rise_of_own_prompts_less_that_of_others(store):
    row = row_of(Results.of(filled(store)).rows, layer=3, method="snmf-hals", target=0.1)
    assert row["score"]["mean"] == pytest.approx(0.25 + 0.2 + 0.01 - 0.01)
    assert row["score"]["low"] < row["score"]["mean"] < row["score"]["high"]
    assert row["seeds"] == 2


def test_a_difference_is_taken_on_the_same_draws(store):
    row = row_of(Results.of(filled(store)).rows, layer=3, method="snmf-hals", target=0.5)
    # Every concept differs by the same, so the difference has an interval of no width, and each score a wide one.
    assert row["less_baseline"] == pytest.approx({"mean": 0.2, "low": 0.2, "high": 0.2})
    assert row["score"]["high"] - row["score"]["low"] > 0.1


def test_good_features_are_compared_with_the_same_concepts(store):
    row = row_of(Results.of(filled(store)).good, method="snmf-hals", target=0.1)
    assert (row["features"], row["concepts"]) == (4, 2)  # two seeds each
    assert row["score"] == pytest.approx(0.05 + 0.2)
    assert row["less_baseline"]["mean"] == pytest.approx(0.2)


def test_the_harmonic_mean_joins_concept_and_fluency_of_texts(store):
    row = row_of(Results.of(filled(store)).texts, method="snmf-hals", target=0.5)
    assert (row["concept"], row["fluency"]) == pytest.approx((0.5, 0.5))
    assert row["harmonic"]["mean"] == pytest.approx(0.5)
    assert row["perplexity"] == pytest.approx(2 * math.exp(2))


def test_a_method_with_missing_concepts_is_named_and_left_out(store):
    filled(store).add(SCORES, scores("neuron", CONCEPTS[0], 0, 0.3))
    results = Results.of(store)
    assert results.unfinished == ["layer 3, neuron, seed 0"]
    assert not [row for row in results.rows if row["method"] == "neuron"]
    assert "Not in the tables, because concepts are missing: layer 3, neuron, seed 0." in page(results)


def test_a_mean_of_layers_is_there_only_for_methods_of_all_layers(store):
    for concept in CONCEPTS:
        filled_layers = (3, 5)
        for layer in filled_layers:
            store.add(SCORES, scores("snmf-hals", concept, 0, 0.1 * layer, layer=layer))
        store.add(SCORES, scores("neuron", concept, 0, 0.1))
    rows = Results.of(store).rows
    assert row_of(rows, layer=None, method="snmf-hals", target=0.1)["score"]["mean"] == pytest.approx(0.4)
    assert not [row for row in rows if row["layer"] is None and row["method"] == "neuron"]


def test_an_empty_experiment_has_a_page_that_says_so(store):
    assert page(Results.of(store)) == "No method is complete yet.\n"


def test_the_command_writes_the_tables_of_stored_lines(store, capsys):
    filled(store)
    assert steering.main(["--out", str(store.folder), "--table"]) == 0
    printed = capsys.readouterr().out
    assert printed == (store.folder / "results.md").read_text(encoding="utf-8")
    assert json.loads((store.folder / "results.json").read_text(encoding="utf-8"))["scores"] == Results.of(store).rows


def test_the_command_says_when_a_folder_holds_no_experiment(tmp_path, capsys):
    assert steering.main(["--out", str(tmp_path), "--table"]) == 1
    assert "holds no steering experiment" in capsys.readouterr().err


def test_a_line_that_a_kill_cut_off_is_computed_again(store):
    line = scores("neuron", CONCEPTS[0], 0, 0.3)
    store.add(SCORES, line)
    path = store.folder / "scores-L3.jsonl"
    path.write_bytes(path.read_bytes() + b'{"layer": 3, "meth')
    assert list(store.known(SCORES, 3)) == [(3, "neuron", CONCEPTS[0], 0)]
    store.add(SCORES, scores("neuron", CONCEPTS[1], 0, 0.3))
    assert [found["concept"] for found in store.lines(SCORES)] == CONCEPTS[:2]


def test_a_folder_of_other_settings_is_refused(store):
    with pytest.raises(ValueError, match=r"other settings \(lexicon_share was 0.5 and is 0.7\)"):
        Store(store.folder, SETTINGS | {"lexicon_share": 0.7})


def test_strengths_reach_each_target():
    found = find_strengths(lambda strength: strength**2 / 2, [0.05, 0.1, 0.2, 0.5, 1.0], guess=1e-2)
    for each in found:
        assert each.reached
        assert each.kl == pytest.approx(each.strength**2 / 2)
        assert abs(math.log(each.kl / each.target)) <= 0.08


def test_a_target_above_every_divergence_is_not_reached():
    [low, high] = find_strengths(lambda strength: 0.3 * strength / (1 + strength), [0.1, 0.5], guess=1.0)
    assert low.reached
    assert not high.reached
    assert 0.2 < high.kl < 0.3


def test_strengths_are_found_below_where_a_model_breaks():
    def divergence(strength):
        return strength**2 if strength < 2 else math.nan

    [found] = find_strengths(divergence, [1.0], guess=50.0)
    assert found.reached


def test_equal_values_share_a_rank():
    assert ranks(np.array([[1.0, 2.0], [1.0, 0.0], [4.0, 1.0]])).T.tolist() == [[1.5, 1.5, 3.0], [3.0, 1.0, 2.0]]


def test_draws_of_two_methods_are_paired():
    values = np.random.default_rng(0).normal(size=(8, 1, 3))
    others = np.zeros((8, 1, 2))
    assert resampled_means(values + 1, others) - resampled_means(values, others) == pytest.approx(1)


def corpus_rows():
    neutral = [(f"it was there again {number}", "neutral") for number in range(4)]
    rain = [(f"the rain fell on {place}", "rain") for place in ("hills", "roofs", "lakes", "fields")]
    return neutral + rain + [(f"the {fruit} was ripe", "fruit") for fruit in ("apple", "pear", "plum", "fig")]


def test_every_other_prompt_of_a_concept_is_held_out():
    corpus = Corpus(*map(list, zip(*corpus_rows(), strict=True)))
    assert corpus.concepts == ["fruit", "rain"]
    assert corpus.where("rain", training=True).tolist() == [4, 6]
    assert corpus.where("rain", training=False).tolist() == [5, 7]


def test_a_lexicon_has_the_words_that_a_concept_repeats():
    lexicons = Corpus(*map(list, zip(*corpus_rows(), strict=True))).lexicons()
    assert "rain" in lexicons["rain"]
    assert "ripe" in lexicons["fruit"]
    assert "rain" not in lexicons["fruit"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (corpus_rows()[4:], "no prompt of the corpus has the label 'neutral'"),
        (corpus_rows()[:8], "1 concepts beside 'neutral'"),
        (corpus_rows()[:9], "the concept 'fruit' has 1 prompt"),
    ],
)
def test_a_corpus_that_cannot_be_compared_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        Corpus(*map(list, zip(*rows, strict=True)))


def test_a_corpus_is_read_from_jsonl(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "concept": concept}) for text, concept in corpus_rows()))
    assert Corpus.read(path) == Corpus(*map(list, zip(*corpus_rows(), strict=True)))
    path.write_text('{"text": "no concept"}')
    with pytest.raises(ValueError, match='line 1 of .* is not an object with "text" and "concept"'):
        Corpus.read(path)


class FakeJudge(http.server.BaseHTTPRequestHandler):
    """Answers as a chat completion. Texts that begin with "a" are about the concept."""

    requests: ClassVar[list] = []
    answer = None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, self.headers.get("Authorization"), body))
        about = 2 if "\na b\n" in body["messages"][0]["content"] else 0
        content = self.answer or f'Here you are: {{"concept": {about}, "fluency": 2}}'
        reply = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def judge_server():
    handler = type("Handler", (FakeJudge,), {"requests": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", handler
        server.shutdown()


def test_a_judge_scores_every_text_once(store, judge_server, monkeypatch):
    url, handler = judge_server
    monkeypatch.setenv("UNMIX_JUDGE_KEY", "secret")
    filled(store)
    for _ in range(2):
        judge_texts(store, Judge(url, "opinion"), progress=lambda _line: None)
    assert len(handler.requests) == 4 * len(CONCEPTS)
    path, authorization, body = handler.requests[0]
    assert (path, authorization, body["model"]) == ("/v1/chat/completions", "Bearer secret", "opinion")
    assert '"concept 0"' in body["messages"][0]["content"]
    row = row_of(Results.of(store).texts, method="snmf-hals")
    # One of two texts is about the concept: harmonic means 2 and 0.
    assert row["judge"]["concept"] == 1.0
    assert row["judge"]["harmonic"]["mean"] == pytest.approx(1.0)
    assert "judge: harmonic mean" in page(Results.of(store))


def test_a_judge_without_scores_is_an_error_that_keeps_what_there_was(store, judge_server):
    url, handler = judge_server
    filled(store)
    handler.answer = "I would rather not say."
    with pytest.raises(ValueError, match="opinion at .* gave no scores from 0 to 2, but 'I would rather not say.'"):
        judge_texts(store, Judge(url, "opinion"), progress=lambda _line: None)
    assert store.lines(JUDGED) == []


def test_a_judge_that_is_not_there_is_an_error_with_its_address():
    with pytest.raises(OSError, match="the judge at http://127.0.0.1:9/v1/chat/completions does not answer"):
        Judge("http://127.0.0.1:9/v1", "opinion").score("text", "concept")


def test_an_address_without_a_scheme_is_refused():
    with pytest.raises(ValueError, match="begins with http"):
        Judge("localhost:8000", "opinion")
