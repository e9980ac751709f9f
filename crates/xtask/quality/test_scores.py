"""Scores of fits whose scores are known."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scores import EXAMPLES, Labelled, agreement, area_under_curve, score

# Prompts of each concept, half of them for training, and tokens of each prompt.
PROMPTS, TOKENS = 6, 12
NAMES = ("bread", "rain")


class Scores(unittest.TestCase):
    def setUp(self):
        """Tokens of the concept c are along the neuron c, and use a word of their own. The last neuron is on everywhere."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        concepts = [c for _ in range(PROMPTS) for c in range(2)]
        corpus = self.folder / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"id": i, "concept": NAMES[c]}) + "\n" for i, c in enumerate(concepts)))
        prompts = np.repeat(np.arange(len(concepts)), TOKENS).astype(np.int32)
        self.x = np.zeros((len(prompts), 4), np.float16)
        self.x[np.arange(len(prompts)), np.array(concepts)[prompts]] = 1 + np.arange(len(prompts)) % 5
        self.x[:, 3] = 0.5
        tokens = np.arange(len(prompts), dtype=np.int32)
        file = self.folder / "activations.safetensors"
        save_file({"activations": self.x, "token_ids": tokens, "prompt_ids": prompts}, file)
        self.labelled = Labelled(file, corpus)

    def score(self, features):
        features = np.array(features, np.float32)
        x = self.labelled.training()["activations"].astype(np.float32)
        fit = self.folder / "fit"
        fit.mkdir(exist_ok=True)
        coefficients = np.maximum(x @ features.T, 0)
        save_file({"features": features, "coefficients": coefficients}, fit / "factorization.safetensors")
        return score(self.labelled, fit)[0]

    def test_half_of_each_concept_is_for_training(self):
        self.assertEqual([self.labelled.half[self.labelled.concepts == c].sum() for c in range(2)], [PROMPTS // 2] * 2)
        self.assertEqual(len(self.labelled.training()["activations"]), PROMPTS * TOKENS)

    def test_features_that_are_the_concepts_are_found_to_be_them(self):
        scores = self.score([[1, 0, 0, 0], [0, 1, 0, 0]])
        expected = {"purity": 1, "either": 1, "token purity": 1 / EXAMPLES, "auc": 1, "active": 1, "thin": 0, "duplicates": 0, "dead": 0}
        for name, value in expected.items():
            self.assertAlmostEqual(scores[name], value, places=6, msg=name)
        self.assertGreater(scores["scd"], 5)
        self.assertGreater(scores["scd by use"], 5)
        # What is left is the neuron that is on everywhere.
        x = self.labelled.training()["activations"].astype(np.float64)
        self.assertAlmostEqual(scores["error"], (x[:, 3] ** 2).sum() / (x**2).sum(), places=6)

    def test_a_feature_of_all_tokens_stands_for_nothing(self):
        scores = self.score([[0, 0, 0, 1]])
        self.assertAlmostEqual(scores["scd"], 0, places=1)
        self.assertLess(scores["purity"], 0.7)
        self.assertEqual(scores["active"], 1)

    def test_copies_and_features_without_tokens_are_counted(self):
        scores = self.score([[1, 0, 0, 0], [1, 0, 0, 0.1], [0, 0, 1, 0], [0, 0, 0, 0]])
        self.assertEqual((scores["duplicates"], scores["dead"]), (1, 2))

    def test_a_feature_that_few_tokens_use_is_thin(self):
        scores = self.score([[1, 0, 0, 0], [0, 1, 0, -1.8]])
        self.assertEqual(scores["thin"], 0)
        scores = self.score([[1, 0, 0, 0], [0, 1, 0, -9]])
        self.assertEqual(scores["thin"], 0.5)

    def test_the_area_under_the_curve_is_the_chance_that_a_positive_ranks_higher(self):
        scores = np.array([[0.1], [0.4], [0.35], [0.8]])
        self.assertEqual(area_under_curve(scores, np.array([False, False, True, True]))[0], 0.75)

    def test_fits_agree_whatever_the_order_of_their_features_but_not_with_their_negatives(self):
        random = np.random.default_rng(0)
        unit = random.normal(size=(5, 30))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        self.assertAlmostEqual(agreement(unit, unit[[3, 1, 4, 0, 2]]), 1)
        self.assertLess(agreement(unit, -unit), 0.3)


if __name__ == "__main__":
    unittest.main()
