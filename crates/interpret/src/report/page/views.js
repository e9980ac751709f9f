// The headline, the run and the health of the fit.

const warnings = report.health.filter((note) => note.level === "warning");

// How the features are ordered, and what that says, in a sentence or two.
function orderSentences() {
  const { runs } = report.run;
  const clear = "the clearest come first: those whose strongest contexts agree on a subject, or on a rare word, more than random contexts do";
  if (!features.some((feature) => isNumber(feature.reproducibility)))
    return features.some((feature) => feature.interpretability) ? [`In this list ${clear}.`] : [];
  const doubtful = features.filter(isDoubtful).length;
  return [
    `The features are what ${isNumber(runs) ? whole(runs) : "several"} runs from independent starts have in common. Reproducibility is the mean cosine between a feature and the nearest feature of a consensus of half of the runs. 1 means that other runs agree on the same feature.`,
    doubtful > 0 && `The ${count(doubtful, "feature")} below ${three(report.reproducible_from)} are marked and come last.`,
    `${doubtful > 0 ? "Of the others" : "In this list"} ${clear}.`,
  ].filter(Boolean);
}

function drawHeadline() {
  const { run, active_features: use } = report;
  const explainedPart = isNumber(run.relative_error) && [", ", h("strong", {}, percent(1 - run.relative_error)), " of the activations explained"];
  const usePart = use && [", ", h("strong", {}, whole(use.median)), ` active at the median token`];
  put(at("headline"),
    h("h1", {}, isolated(report.title)),
    h("p", { class: "claim" }, h("strong", {}, count(features.length, "feature")), ` of ${count(run.neurons, "neuron")}`, explainedPart, usePart),
    h("div", { class: "lead" },
      h("p", {}, "A feature is a small group of neurons that act together. What it stands for is read off the texts in which it is strongest: the more a word is marked, the stronger the feature there."),
      h("p", {}, orderSentences().join(" "))),
    warnings.length > 0 && h("p", { class: "warnings" }, h("a", { href: "#health" }, "⚠ ", count(warnings.length, "warning")), ": ", isolated(warnings.map((note) => note.text).join("; "))));
}

function drawRun() {
  const { run } = report;
  const fact = (name, value) => value !== null && value !== false && value !== "" && h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const curve = lossChart(run.loss_curve, run.best_iteration);
  const use = report.active_features;
  at("run-body").append(h("div", { class: "run-grid" },
    h("dl", { class: "run-facts" },
      fact("data", run.data !== null && isolated(run.data)),
      fact("size", `${whole(run.tokens)} tokens × ${whole(run.neurons)} neurons${run.dtype ? ", " : ""}${plain(run.dtype)}`),
      run.options.map(([name, value]) => fact(isolated(name), isolated(value))),
      fact("relative error", fixed4(run.relative_error)),
      fact("method", "semi-nonnegative matrix factorization (Shafran, Geiger and Geva, ACL 2026)"),
      fact("engine", isolated([run.engine, run.adapter].filter(Boolean).join(", "))),
      fact("stopped", run.stop_reason && [isolated(run.stop_reason), run.loss_curve.length > 0 && ` after ${count(run.loss_curve.length, "iteration")}`, `, ${three(run.seconds)} s`]),
      fact("runs", isNumber(run.runs) && `${whole(run.runs)}, with a mean cosine of ${fixed2(run.stability)} between two of them`),
      fact("features without a token", dead.size > 0 ? run.dead_features.map((number) => featureLink(number)) : "none"),
      fact("unmix", [isolated(run.version), run.date !== null && [", ", isolated(run.date)]])),
    h("div", {},
      use && h("figure", {}, useChart(use), h("figcaption", {}, explained("use", "Features active at a token"), `: ${whole(use.median)} at the median token, ${three(use.mean)} on average, ${whole(use.middle[0])} to ${whole(use.middle[1])} at nine tokens in ten`)),
      curve && h("figure", {}, curve, h("figcaption", {}, "Relative error after each iteration, less is better")))));
}

function drawHealth() {
  if (at("view-health").childElementCount > 0) return;
  const marks = { good: ["✓", "good"], note: ["i", "note"], warning: ["!", "warning"] };
  at("view-health").append(
    h("div", { class: "view-head" }, h("h2", { tabindex: "-1" }, "Health"), h("p", { class: "about" }, "What should be known before the features are trusted.")),
    h("ul", { class: "health" }, report.health.map((note) => {
      const [mark, word] = marks[note.level];
      const few = note.features.slice(0, 12), rest = note.features.slice(12);
      const links = (numbers) => h("span", { class: "health-links" }, numbers.map((number) => featureLink(number)));
      return h("li", { class: "health-" + note.level }, h("span", { class: "mark", role: "img", "aria-label": word }, mark),
        h("div", {}, h("p", {}, isolated(note.text)), note.advice && h("p", { class: "about" }, isolated(note.advice)), few.length > 0 && links(few),
          rest.length > 0 && h("details", { class: "more" }, h("summary", {}, `${count(rest.length, "more feature")}`), links(rest))));
    })));
}
