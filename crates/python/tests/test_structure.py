"""How features nest, and what fits have in common."""

import json
import subprocess

import numpy as np
import pytest
import unmix


@pytest.fixture(scope="module")
def other(activations):
    """Another fit of the same activations."""
    return unmix.fit(activations, n_components=8, max_iter=5, random_state=1, device="cpu")


def test_a_tree_is_that_of_the_command(fit, command, demo_fit, vocabulary, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    arguments = [
        "tree",
        demo_fit,
        "--ranks",
        "4,2",
        "--json",
        "--engine",
        "cpu",
        "--vocabulary",
        tmp_path / "vocab.json",
    ]
    told = json.loads(subprocess.run([command, *arguments], capture_output=True, check=True).stdout)
    tree = fit.tree([4, 2])
    assert tree.to_dict() == told and tree.ranks == [4, 2]


def test_the_children_of_a_parent_are_below_it(fit):
    tree = fit.tree([4])
    frame = tree.to_pandas()
    assert set(frame["child"]) <= set(range(8)) and frame["strength"].between(0, 1.0001).all()
    for node in range(4):
        rows = frame[frame["node"] == node]
        assert list(zip(rows["child"], rows["strength"], strict=True)) == tree.children(1, node)
    assert "Level 1: 4 features" in repr(tree) and "Level 1: 4 features" in tree._repr_html_()
    with pytest.raises(IndexError, match="level 2"):
        tree.children(2, 0)


def test_levels_that_do_not_fall_are_refused(fit):
    with pytest.raises(ValueError, match="below the one before"):
        fit.tree([4, 4])
    few = unmix.fit(np.ones((6, 5), np.float32), n_components=2, max_iter=1, device="cpu")
    with pytest.raises(ValueError, match="ranks="):
        few.tree()


def test_a_fit_is_found_again_in_itself(fit):
    found = fit.compare(fit)
    assert found.stability == [pytest.approx(1)] and found.found_again == [8]
    assert sorted(found.pairs()) == [(k, k, pytest.approx(1)) for k in range(8)]


def test_a_comparison_is_that_of_the_command(fit, other, command, demo_fit, vocabulary, tmp_path):
    other.save(tmp_path / "other")
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    arguments = ["compare", demo_fit, tmp_path / "other", "--json", "--vocabulary", tmp_path / "vocab.json"]
    told = json.loads(subprocess.run([command, *arguments], capture_output=True, check=True).stdout)
    found = fit.compare(tmp_path / "other").to_dict()
    mine, theirs = found["compared_with"][0], told["compared_with"][0]
    assert mine["fit"] == "other" and {name: mine[name] for name in theirs if name != "fit"} == {
        name: value for name, value in theirs.items() if name != "fit"
    }


def test_several_fits_are_compared_with_the_first(fit, other):
    found = fit.compare(other, other)
    assert len(found.stability) == 2
    frame = found.to_pandas()
    assert list(frame["fit"].unique()) == ["fit (1)", "fit (2)"] and {"first_words", "second_words"} <= set(
        frame.columns
    )
    assert "found again" in repr(found) and "found again" in found._repr_html_()


def test_a_page_shows_how_features_persist(fit, other, tmp_path):
    fit.compare(other, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "Features of demo, fit" in page
    with pytest.raises(ValueError, match="exists"):
        fit.compare(other, page=tmp_path / "page.html")
    fit.compare(other, page=tmp_path / "page.html", force=True)


def test_fits_that_have_nothing_in_common_are_refused(fit):
    of_other_neurons = unmix.fit(np.ones((6, 5), np.float32), n_components=1, max_iter=1, device="cpu")
    with pytest.raises(ValueError, match='by="correlation"'):
        fit.compare(of_other_neurons)
    with pytest.raises(ValueError, match='"cosine" or "correlation"'):
        fit.compare(fit, by="distance")
    with pytest.raises(ValueError, match="another fit"):
        fit.compare()
    with pytest.raises(TypeError, match="another fit is needed, or the path of its folder, not None"):
        fit.compare(None)
