//! What a reader does with the page: what comes first, what is marked, how texts are read, what is kept.

use serde_json::json;
use unmix_interpret::report::{Context, Piece, Report};

use crate::browser::{DESKTOP, PHONE, drive};
use crate::synthetic::full;

#[test]
fn features_that_other_runs_do_not_find_are_marked_and_explained_and_none_is_hidden() {
    // Reproducibility falls from 0.99 by 0.02 a feature. Feature 10 is the first below 0.8.
    let found = drive(
        &full(40),
        "#feature-25",
        DESKTOP,
        r##"
        const doubt = text(".doubt"), facts = text(".facts");
        location.hash = "#feature-3"; await settle();
        const sure = [text(".doubt"), text(".facts")];
        one("#show").value = "found";
        one("#show").dispatchEvent(new Event("change"));
        return { first: all("#list .number").slice(0, 3).map((n) => n.textContent), doubt, facts, sure, lead: text(".lead"),
          marked: all(".row[data-doubtful]").length, found: all("#list .row").length, count: text("#search-count"),
          order: one("#sort").value, choices: [...one("#show").options].map((o) => o.textContent) };"##,
    );
    assert_eq!(found["order"], "reading");
    assert_eq!(found["first"], json!(["#0", "#1", "#2"]));
    assert!(found["doubt"].as_str().unwrap().contains("below 0.8"), "{found}");
    assert!(found["facts"].as_str().unwrap().contains("3 of 10 runs"), "{found}");
    assert_eq!(found["sure"][0], json!(null));
    assert!(found["sure"][1].as_str().unwrap().starts_with("reproducibility0.93found in9 of 10 runs"), "{found}");
    let lead = found["lead"].as_str().unwrap();
    assert!(lead.contains("10 runs from independent starts") && lead.contains("The 30 features below 0.8"), "{lead}");
    assert_eq!(
        (&found["marked"], &found["found"], &found["count"]),
        (&json!(0), &json!(10), &json!("10 of 40 features"))
    );
    assert_eq!(found["choices"], json!(["all features", "found again"]));

    let single = |mut report: Report| {
        (report.run.runs, report.run.stability) = (None, None);
        report.features.iter_mut().for_each(|f| (f.reproducibility, f.found_in) = (None, None));
        report
    };
    let found = drive(
        &single(full(40)),
        "",
        DESKTOP,
        "return { orders: [...one('#sort').options].map((o) => o.textContent), marked: all('.row[data-doubtful]').length, lead: text('.lead'), choices: one('#show').hidden };",
    );
    assert_eq!(found["orders"][0], "clarity");
    assert!(!found["orders"].as_array().unwrap().contains(&json!("reproducibility")), "{found}");
    assert_eq!((&found["marked"], &found["choices"]), (&json!(0), &json!(true)));
    assert!(found["lead"].as_str().unwrap().ends_with("more than random contexts do."), "{found}");
}

#[test]
fn what_contexts_agree_on_stands_with_its_chance() {
    let found = drive(
        &full(40),
        "#feature-3",
        DESKTOP,
        r##"
        const row = (k) => all("#list .row").find((row) => row.querySelector(".number").textContent === "#" + k);
        const seen = [text(".agreement"), row(3).querySelector(".row-about").textContent];
        location.hash = "#feature-4"; await settle();
        const word = text(".agreement");
        location.hash = "#feature-5"; await settle();
        return { seen, word, none: text(".agreement"), use: text("#run-body figcaption"), bars: all("#run-body .use g").length };"##,
    );
    assert_eq!(found["seen"][0], "18 of 20 contexts are about months (chance 3, p 0.001)");
    assert_eq!(found["seen"][1], "18 of 20 about months");
    assert_eq!(
        found["word"],
        "18 of 20 contexts are strongest at “<img src=x onerror=\"window.pwned = 2\">” (chance 3, p 0.001)"
    );
    assert_eq!(found["none"], "Its strongest contexts agree on no subject and no word beyond chance.");
    assert_eq!(found["bars"], 25);
    assert!(found["use"].as_str().unwrap().contains("12 at the median token"), "{found}");
}

#[test]
fn the_only_hit_of_a_search_opens_and_typing_goes_on() {
    for window in [DESKTOP, PHONE] {
        let found = drive(
            &full(40),
            "",
            window,
            r##"
            one("#search").focus();
            type("the unique"); await settle();
            const hit = [location.hash, one("#detail").dataset.feature, document.activeElement.id, isSeen("#detail")];
            type("violin"); await settle();
            const many = [isSeen("#list-pane"), document.activeElement.id];
            return { hit, many };"##,
        );
        assert_eq!(found["hit"], json!(["#feature-0", "0", "search", true]));
        assert_eq!(found["many"], json!([true, "search"]));
    }
}

#[test]
fn tokens_are_reached_by_keys_and_those_without_a_glyph_are_named() {
    let mut report = full(40);
    let piece = |text: &str, strength| Piece { text: text.to_owned(), strength };
    let pieces =
        [" a", "\n\n", "", " b", " "].iter().zip([0.0, 1.0, 0.5, 0.2, 0.0]).map(|(t, s)| piece(t, s)).collect();
    report.features[3].contexts[0] = Context { pieces, peak: 1, coefficient: 0.1, ..Context::default() };
    let found = drive(
        &report,
        "#feature-3",
        DESKTOP,
        r##"
        const pieces = all(".contexts .context:first-child .piece").slice(0, 5);
        const signs = pieces.map((piece) => piece.querySelector(".sign")?.textContent ?? null);
        pieces[1].focus();
        const seen = [];
        const note = () => seen.push([document.activeElement === pieces.find((p) => p.tabIndex === 0), text("#tip"), one("#tip").hidden, document.activeElement.getAttribute("aria-describedby")]);
        for (const name of ["ArrowRight", "ArrowRight", "Home", "End", "ArrowRight", "ArrowLeft"]) { key(name); note(); }
        return { signs, seen, stops: pieces.filter((piece) => piece.tabIndex === 0).length, hash: location.hash };"##,
    );
    assert_eq!(found["signs"], json!([null, "2 line breaks", "◌", null, null]));
    let hints: Vec<&str> = found["seen"].as_array().unwrap().iter().map(|seen| seen[1].as_str().unwrap()).collect();
    assert_eq!(
        hints,
        [
            "part of a character: coefficient 0.0502, 50% of the maximum",
            "b: coefficient 0.02, 20% of the maximum",
            "a: not active",
            "1 blank: not active",
            "1 blank: not active",
            "b: coefficient 0.02, 20% of the maximum"
        ]
    );
    for seen in found["seen"].as_array().unwrap() {
        assert_eq!((&seen[0], &seen[2], &seen[3]), (&json!(true), &json!(false), &json!("tip")), "{found}");
    }
    assert_eq!((&found["stops"], &found["hash"]), (&json!(1), &json!("#feature-3")));
}

#[test]
fn output_tokens_are_shown_only_beyond_chance_and_groups_only_where_they_cohere() {
    let mut report = full(40);
    (report.features[3].promoted, report.features[3].suppressed) = (Vec::new(), Vec::new());
    let found = drive(
        &report,
        "#feature-3",
        DESKTOP,
        r##"
        const part = () => all("#detail .part").find((part) => part.querySelector("h3").textContent.startsWith("Output tokens")).textContent;
        const none = part();
        const bands = all(".band").slice(0, 2).map((band) => [band.querySelector("h4").textContent, band.querySelectorAll(".context").length, band.querySelector(":scope > .about")?.textContent ?? null]);
        location.hash = "#feature-4"; await settle();
        const some = part();
        location.hash = "#feature-9"; await settle();
        const place = all("#detail .part").find((part) => part.querySelector("h3").textContent === "Place in the tree").textContent;
        location.hash = "#node-1-0"; await settle();
        const theme = one("[data-node='1-0']");
        return { none, some, bands, place, about: text("#view-tree .about"), groups: theme.querySelectorAll(":scope > .node-body > ul > li > .node").length,
          leaves: theme.querySelectorAll(":scope > .node-body > ul > li > .leaf").length };"##,
    );
    assert_eq!(
        found["none"],
        "Output tokens beyond chanceNone: random directions raise and lower some tokens as much."
    );
    assert!(
        found["some"].as_str().unwrap().contains("RaisedLowered") || found["some"].as_str().unwrap().contains("Raised")
    );
    let head = |range: &str| format!("{range}% of the maximum: 250 tokens, 25.0% of those that use it");
    assert_eq!(found["bands"][0], json!([head("75 to 100"), 0, "All in contexts above."]));
    assert_eq!(found["bands"][1], json!([head("50 to 75"), 4, null]));
    // Group 9 does not cohere. Its features stand in its place.
    assert!(!found["place"].as_str().unwrap().contains("ten groups"), "{found}");
    assert!(found["about"].as_str().unwrap().contains("12 of 13 groups"), "{found}");
    assert_eq!((&found["groups"], &found["leaves"]), (&json!(3), &json!(3)));
}

#[test]
fn a_second_fit_stands_beside_the_first() {
    let found = drive(
        &full(40),
        "#beside",
        DESKTOP,
        r##"
        const rows = all("#view-beside .match").map((row) => row.textContent);
        all("#view-beside details")[0].open = true; await settle();
        const sides = all("#view-beside .sides > div").map((side) => side.querySelectorAll(".context").length);
        const parts = all("#view-beside .part").map((part) => [part.querySelector("h3").textContent, part.querySelectorAll("li").length]);
        const about = text("#view-beside .about");
        location.hash = "#feature-4"; await settle();
        const match = text(".beside-part > p");
        location.hash = "#feature-5"; await settle();
        return { rows, sides, parts, about, match, none: text(".beside-part > p") };"##,
    );
    assert_eq!(found["rows"].as_array().unwrap().len(), 2);
    assert!(found["rows"][0].as_str().unwrap().starts_with("0.93#4 "), "{found}");
    assert_eq!(found["sides"], json!([5, 5]));
    assert_eq!(found["parts"][0], json!(["Only here", 38]));
    assert_eq!(found["parts"][1][1], 1);
    assert!(
        found["about"]
            .as_str()
            .unwrap()
            .ends_with("0.60 on the mean. 1 match has at least 0.8, as the same feature has."),
        "{found}"
    );
    assert!(found["match"].as_str().unwrap().contains("cosine 0.93"), "{found}");
    assert_eq!(found["none"], "None: no feature there is like it.");
}

#[test]
fn lists_and_notes_are_kept_exported_and_imported() {
    let found = drive(
        &full(40),
        "#feature-7",
        DESKTOP,
        r##"
        const input = (node, value) => { node.value = value; node.dispatchEvent(new Event("input", { bubbles: true })); };
        one(".kept input[type=checkbox]").click();
        input(one(".kept textarea"), "months, <b>surely</b>");
        location.hash = "#feature-9"; await settle();
        one(".kept input[type=text]").value = " __proto__ ";
        one(".kept form button").click(); await settle();
        const stored = JSON.parse(localStorage.getItem("unmix-kept-0123456789abcdef"));
        const choices = [...one("#show").options].map((o) => o.textContent);
        one("#show").value = "list:Favourites"; one("#show").dispatchEvent(new Event("change"));
        const listed = all("#list .number").map((n) => n.textContent);
        one("#show").value = "all"; one("#show").dispatchEvent(new Event("change"));
        type("SURELY");
        const searched = all("#list .number").map((n) => n.textContent);
        type("");
        // What a click on Export would save. The clock stands still, so nothing waits for files.
        let saved = null;
        window.Blob = class { constructor(parts) { this.parts = parts; } };
        URL.createObjectURL = (blob) => ((saved = blob), "#");
        HTMLAnchorElement.prototype.click = () => {};
        location.hash = "#kept"; await settle();
        const shown = [text("#view-kept .kept-notes"), all("#view-kept .part").length];
        all("#view-kept button").find((b) => b.textContent.startsWith("Export")).click();
        const file = saved.parts.join("");
        // Everything is taken away, and comes back from the file.
        for (const remove of all("#view-kept .links button")) remove.click();
        location.hash = "#feature-7"; await settle();
        input(one(".kept textarea"), "");
        location.hash = "#kept"; await settle();
        const empty = [text("#view-kept .empty"), localStorage.getItem("unmix-kept-0123456789abcdef")];
        const load = async (text) => {
          File.prototype.text = async () => text;
          const transfer = new DataTransfer();
          transfer.items.add(new File([text], "unmix-notes.json"));
          const chooser = one("#view-kept input[type=file]");
          chooser.files = transfer.files;
          const said = () => one("#view-kept [role=status]").textContent;
          one("#view-kept [role=status]").textContent = "";
          chooser.dispatchEvent(new Event("change"));
          await settle();
          return said();
        };
        const refused = [await load("{"), await load("{}"), await load(file.replaceAll("0123456789abcdef", "another"))];
        const said = await load(file);
        const again = text("#view-kept .kept-notes");
        const stars = all(".star").filter((s) => s.textContent).length;
        // Two names that are the same once they are cut.
        const long = "x".repeat(80);
        await load(JSON.stringify({ format: "unmix-notes", version: 1, id: "0123456789abcdef", lists: { [long + "a"]: [1, 2], [long + "b"]: [2, 3] } }));
        const merged = JSON.parse(localStorage.getItem("unmix-kept-0123456789abcdef")).lists[long];
        return { stored, choices, listed, searched, merged, shown, file: JSON.parse(file), empty, refused, said, again, stars };"##,
    );
    assert_eq!(found["stored"]["lists"]["Favourites"], json!([7]));
    assert_eq!(found["stored"]["notes"], json!({"7": "months, <b>surely</b>"}));
    assert_eq!(found["choices"], json!(["all features", "found again", "with a note", "Favourites", "__proto__"]));
    assert_eq!(found["listed"], json!(["#7"]));
    assert_eq!(found["searched"], json!(["#7"]));
    assert_eq!(found["merged"], json!([1, 2, 3]));
    assert!(found["shown"][0].as_str().unwrap().ends_with("months, <b>surely</b>"), "{found}");
    assert_eq!(found["shown"][1], 3);
    let file = &found["file"];
    assert_eq!(
        (&file["format"], &file["version"], &file["id"]),
        (&json!("unmix-notes"), &json!(1), &json!("0123456789abcdef"))
    );
    assert_eq!(file["notes"], found["stored"]["notes"]);
    assert!(file["names"]["7"].is_string() && file["names"]["9"].is_string(), "{file}");
    assert!(found["empty"][0].as_str().unwrap().starts_with("Nothing yet"), "{found}");
    assert_eq!(found["empty"][1], "{\"lists\":{},\"notes\":{}}");
    let refused: Vec<&str> = found["refused"].as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
    assert!(
        refused[0].contains("no JSON")
            && refused[1].contains("no lists and notes")
            && refused[2].contains("other features"),
        "{refused:?}"
    );
    assert_eq!(found["said"], "Imported 2 lists and 1 note.");
    assert!(found["again"].as_str().unwrap().ends_with("surely</b>"), "{found}");
    assert_eq!(found["stars"], 2);
}
