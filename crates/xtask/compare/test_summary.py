"""Statistics, tables, and files of matrices."""
import tempfile
import unittest
from pathlib import Path

import numpy as np
import runs
import summary
from matrices import Tensors, activations, make, write


class Statistics(unittest.TestCase):
    def test_spread(self):
        self.assertEqual(summary.spread([3, 1, 2, 10]), {"least": 1, "median": 2.5, "most": 10})

    def test_the_first_of_the_best_counts(self):
        self.assertEqual(summary.best([5.0, 3.0, 4.0, 3.0]), (3.0, 2))

    def test_a_target_is_reached_or_not(self):
        moments = summary.ends(0.5, [1.0, 2.0, 3.0])
        self.assertEqual(moments, [1.5, 3.5, 6.5])
        self.assertEqual(summary.reach([9.0, 7.0, 7.5], moments, 7.0), (2, 3.5))
        self.assertIsNone(summary.reach([9.0, 7.0, 7.5], moments, 6.9))
        self.assertEqual(summary.differences(moments), [2.0, 3.0])

    def test_numbers_have_three_digits(self):
        found = [summary.digits(value) for value in (1234.5, 99.96, 12.345, 1.2345, 0.12345, 0.00123456, 0)]
        self.assertEqual(found, ["1234", "100", "12.3", "1.23", "0.123", "0.00123", "0"])

    def test_runs_of_a_method_make_a_row(self):
        def round_of(seconds):
            ran = {"losses": [9.0, 4.0, 5.0], "seconds": seconds, "ends": summary.ends(1.0, [1.0, *seconds])}
            return ran | {"iterations": 3, "activations_bytes": 8, "peak_memory_bytes": 100, "relative_error": 0.4}

        row = runs.row([round_of([2.0, 4.0]), round_of([1.0, 1.0])], 4.0)
        self.assertEqual(row["iteration_seconds"], {"least": 1.0, "median": 2.0, "most": 3.0})
        self.assertEqual(row["mean_iteration_seconds"]["most"], 3.0)
        self.assertEqual((row["iterations_to_target"], row["seconds_to_target"]["most"]), (2, 4.0))
        self.assertNotIn("iterations_to_target", runs.row([round_of([2.0, 4.0])], 3.9))

    def test_complaints(self):
        self.assertEqual(runs.complaint("note\nerror: no\nFor more, try --help\n"), "error: no")
        self.assertEqual(runs.complaint("Traceback:\n  line 1\nKeyError: 3\n\n"), "KeyError: 3")
        self.assertEqual(runs.complaint(""), "")

    def test_tables(self):
        self.assertEqual(summary.table(["a", "b"], [["1|2", "3"]]), "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |")
        self.assertEqual(summary.milliseconds(summary.spread([0.001, 0.002, 0.004])), "1.00, **2.00**, 4.00 ms")
        self.assertEqual(summary.three(summary.spread([2.0])), "**2.00** s")


class Files(unittest.TestCase):
    def test_matrices_come_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.safetensors"
            values = np.arange(15, dtype=np.float16).reshape(5, 3)
            write(path, "activations", values.shape, [values[:2], values[2:]])
            found, element = activations(path)
            self.assertEqual((found.tolist(), element), (values.tolist(), "f16"))
            self.assertEqual(list(Tensors(path).entries), ["activations"])

    def test_synthetic_matrices_depend_on_the_seed_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in "abc"]
            for path, seed in zip(paths, (1, 1, 2), strict=True):
                make(path, 300, 70, 3, seed)
            a, b, c = (activations(path)[0] for path in paths)
            self.assertEqual(a.shape, (300, 70))
            self.assertTrue((a == b).all() and (a != c).any() and (a < 0).any() and np.isfinite(a).all())


if __name__ == "__main__":
    unittest.main()
