"""Means, standard errors and tables of known values."""

import json
import unittest

import figure
import table


def point(layer, setting, errors, agreements):
    values = dict.fromkeys(table.COLUMNS, errors) | {"stability": agreements}
    return {"layer": layer, "rank": 10, "setting": setting, "values": values}


POINTS = [point("L1", "a", [1.0, 3.0, 5.0], [0.5, 0.6, 0.7]), point("L2", "a", [3.0, 5.0, 7.0], [0.7, 0.8, 0.9])]


class Tables(unittest.TestCase):
    def test_the_standard_error_is_that_of_the_mean(self):
        self.assertEqual(table.mean_and_error([1.0, 3.0, 5.0]), (3.0, 2 / 3**0.5))
        self.assertEqual(table.mean_and_error([2.0]), (2.0, None))
        self.assertEqual(table.mean_and_error([]), (None, None))

    def test_layers_are_averaged_seed_by_seed(self):
        (mean,) = table.over_layers(POINTS)
        self.assertEqual((mean["layer"], mean["values"]["error"]), (table.MEAN, [2.0, 4.0, 6.0]))
        self.assertAlmostEqual(table.summary(mean)["stability"]["mean"], 0.7)

    def test_a_table_has_a_line_for_each_point_and_the_mean(self):
        about = {"commit": "c", "command": "cargo xtask quality", "seeds": [0, 1, 2], "settings": {"a": "--solver hals"}}
        text = table.markdown(about, POINTS)
        lines = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| ")]
        self.assertEqual(lines, ["layer", "L1", "L2", table.MEAN])
        self.assertIn("3.000 ± 1.155", text)

    def test_the_json_has_a_mean_and_a_standard_error_for_each_score(self):
        record = json.loads(table.as_json({"commit": "c"}, POINTS))
        self.assertEqual((record["commit"], [point["layer"] for point in record["points"]]), ("c", ["L1", "L2"]))
        self.assertEqual(record["points"][0]["error"], [3.0, 1.155])
        self.assertEqual(record["points"][0]["stability"][0], 0.6)

    def test_the_figure_has_a_point_for_each_setting_in_each_panel(self):
        text = figure.trade_off([*POINTS, point("L1", "b", [2.0, 2.0, 2.0], []), point("L2", "b", [2.0, 2.0, 2.0], [])])
        self.assertEqual(text.count("<title>a"), 3)
        # Without a second fit of the same rank there is no stability.
        self.assertEqual(text.count("<title>b"), 2)

    def test_ticks_are_few_and_within_the_axis(self):
        for values in ([0.1, 0.2], [0.5], [0.0, 100.0], [-3.0, 4.0], [0.61, 0.6104]):
            axis = figure.Axis(values, 0.0, 10.0)
            self.assertTrue(2 <= len(axis.ticks()) <= 7, axis.ticks())
            self.assertTrue(all(0 <= axis.place(tick) <= 10 for tick in axis.ticks()))


if __name__ == "__main__":
    unittest.main()
