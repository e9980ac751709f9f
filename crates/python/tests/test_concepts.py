"""Concepts: labels of any form, the same scores as the command, and what is refused."""

import json
import subprocess

import numpy as np
import pandas
import pytest
import unmix


@pytest.fixture(scope="module")
def of_the_command(command, demo_fit, labels):
    arguments = ["concepts", demo_fit, "--labels", labels, "--json", "--permutations", "19"]
    return json.loads(subprocess.run([command, *arguments], capture_output=True, check=True).stdout)


def test_the_scores_are_those_of_the_command(fit, labels, of_the_command):
    table = fit.concepts(labels, permutations=19)
    mine = table.to_dict()
    for part in ("concepts", "features", "detected", "summary", "baseline", "fitted_tokens"):
        assert mine[part] == of_the_command[part]
    assert table.summary["auc_mean"] == of_the_command["summary"]["auc_mean"]


def test_labels_may_have_any_form(fit, labels):
    rows = json.loads(labels.read_text())
    forms = [rows, pandas.DataFrame(rows), {np.int64(row["id"]): row["concept"] for row in rows}]
    wanted = fit.concepts(labels, permutations=0).to_pandas()
    for form in forms:
        found = fit.concepts(form, permutations=0)
        # Which half a prompt belongs to follows from the order of the labels.
        assert list(found.to_pandas().index) == list(wanted.index)
        assert found.to_pandas()["prompts"].tolist() == wanted["prompts"].tolist()
    assert fit.concepts(forms[1], permutations=0).to_dict() == fit.concepts(rows, permutations=0).to_dict()


def test_labels_without_ids_are_in_the_order_of_the_prompts(fit, labels, activations):
    acts = unmix.Activations(activations)
    _, places = np.unique(acts.columns["prompt_ids"], return_inverse=True)
    concepts = [row["concept"] for row in sorted(json.loads(labels.read_text()), key=lambda row: row["id"])]
    table = fit.concepts(concepts, unmix.Activations(acts[:], prompt_ids=places), permutations=0)
    assert table.to_pandas()["prompts"].sum() == sum(concept != "neutral" for concept in concepts)
    assert "prompt 0" in repr(table)


def test_wider_concepts_can_be_scored(fit, labels):
    parents = {row.get("parent", row["concept"]) for row in json.loads(labels.read_text())} - {"neutral"}
    assert set(fit.concepts(labels, level="parent", permutations=0).to_pandas().index) <= parents


def test_activations_in_memory_are_scored_like_their_file(fit, labels, activations):
    acts = unmix.Activations(activations)
    again = unmix.Activations(acts[:], prompt_ids=acts.columns["prompt_ids"])
    wanted, found = fit.concepts(labels, permutations=0), fit.concepts(labels, again, permutations=0)
    # Values of another type count as other tokens, so there is no purity.
    assert found.to_dict()["fitted_tokens"] is False and wanted.to_dict()["fitted_tokens"] is True
    assert found.to_pandas()["auc"].tolist() == pytest.approx(wanted.to_pandas()["auc"].tolist(), abs=1e-6)
    by_path = fit.concepts(labels, activations, permutations=0)
    assert by_path.to_dict() == wanted.to_dict()


def test_a_table_shows_the_best_concept_first(fit, labels):
    table = fit.concepts(labels, permutations=19)
    first = table.to_pandas()["auc"].idxmax()
    assert repr(table).splitlines()[1].startswith(first)
    assert "Mean AUC" in repr(table) and f"<td class='unmix-text'>{first}</td>" in table._repr_html_()
    assert list(table.of_features().index) == list(range(8))


def test_what_cannot_be_scored_is_refused(fit, labels, tmp_path):
    with pytest.raises(TypeError, match="labels is a int"):
        fit.concepts(3)
    with pytest.raises(ValueError, match="entry 0 is the number 0; a label is the name of a concept"):
        fit.concepts([0, 1] * 5)
    with pytest.raises(ValueError, match="permutations=-1: a whole number from 0"):
        fit.concepts(labels, permutations=-1)
    with pytest.raises(ValueError, match="no label"):
        fit.concepts({0: "months", 1: "rivers"})
    with pytest.raises(ValueError, match='"concept" or "parent"'):
        fit.concepts(labels, level="word")
    with pytest.raises(ValueError, match="prompt_ids"):
        fit.concepts(labels, np.ones((4, 1536), np.float32))
    with pytest.raises(ValueError, match="3 neurons"):
        fit.concepts(labels, unmix.Activations(np.ones((4, 3), np.float32), prompt_ids=[0, 0, 1, 1]))


def test_activations_that_are_gone_are_asked_for(activations, labels, tmp_path):
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(activations.read_bytes())
    fit = unmix.fit(moved, n_components=4, max_iter=2, device="cpu")
    moved.rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(OSError, match=r"moved\.safetensors.*activations="):
        fit.concepts(labels)
    assert fit.concepts(labels, tmp_path / "elsewhere.safetensors", permutations=0).to_dict()["fitted_tokens"]
    in_memory = unmix.fit(np.ones((6, 5), np.float32), n_components=1, max_iter=1, device="cpu")
    with pytest.raises(ValueError, match="in memory.*activations="):
        in_memory.concepts(labels)
