//! The part of WESL that the shaders use. WESL is WGSL with imports and conditions.
//!
//! - `import package::path::{names};` includes the module, which declares the names at the beginning of lines. Names
//!   are not changed, so no two modules of a shader may declare the same name.
//! - `@if(feature)`, `@if(feature || other)` and `@else` keep or remove the declaration, the member of a structure or
//!   the block that follows.
//!
//! Only line comments are known. The output is plain WGSL, and naga finds what is wrong with it.

/// The module `root` and everything that it imports, as one WGSL source. `source` gives the text of a module. `feature`
/// says of each feature that exists whether it is set.
pub(super) fn compose<'a>(
    root: &str,
    source: impl Fn(&str) -> Option<&'a str>,
    feature: impl Fn(&str) -> Option<bool>,
) -> Result<String, String> {
    let mut paths = vec![root.to_owned()];
    let mut composed = String::new();
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        let text = source(&path).ok_or_else(|| format!("there is no module {path}"))?;
        let (imports, text) = without_imports(&without_comments(text)).map_err(|reason| format!("{path}: {reason}"))?;
        composed += &with_conditions_met(&text, &feature).map_err(|reason| format!("{path}: {reason}"))?;
        for Import { module, names } in imports {
            let declared = declared(source(&module).unwrap_or_default());
            if let Some(name) = names.iter().find(|name| !declared.contains(&name.as_str())) {
                return Err(format!("{path}: no {name} is declared in {module}"));
            }
            if !paths.contains(&module) {
                paths.push(module);
            }
        }
        next += 1;
    }
    Ok(composed)
}

/// An import of names from a module.
struct Import {
    module: String,
    names: Vec<String>,
}

/// Names that a module declares.
fn declared(text: &str) -> Vec<&str> {
    const KINDS: [&str; 5] = ["alias ", "const ", "fn ", "struct ", "var<workgroup> "];
    let declarations = text.lines().filter_map(|line| KINDS.iter().find_map(|kind| line.strip_prefix(kind)));
    declarations.filter_map(|declaration| words(declaration).next()).collect()
}

/// Names, keywords and numbers.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Each line without its comment.
fn without_comments(text: &str) -> String {
    text.lines().flat_map(|line| [line.split("//").next().unwrap_or(line), "\n"]).collect()
}

/// The imports of a module, and the text without them.
fn without_imports(text: &str) -> Result<(Vec<Import>, String), String> {
    let mut imports = Vec::new();
    let mut rest = text.trim_start();
    while let Some(statement) = rest.strip_prefix("import ") {
        let (statement, after) = statement.split_once(';').ok_or("an import does not end with `;`")?;
        let parts =
            statement.strip_prefix("package::").and_then(|s| s.strip_suffix('}')).and_then(|s| s.split_once("::{"));
        let (module, names) =
            parts.ok_or_else(|| format!("`import {statement}` is not `import package::path::{{names}}`"))?;
        let names = names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        imports.push(Import { module: module.to_owned(), names: names.collect() });
        rest = after.trim_start();
    }
    Ok((imports, rest.to_owned()))
}

/// The text without conditions, and without what depends on a condition that is not met.
fn with_conditions_met(text: &str, feature: &impl Fn(&str) -> Option<bool>) -> Result<String, String> {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@if(") {
        kept += before;
        let (condition, after) = after.split_once(')').ok_or("a condition does not end with `)`")?;
        let is_met = is_met(condition, feature)?;
        let (thing, mut after) = after.split_at(extent(after));
        let mut chosen = if is_met { thing } else { "" };
        if let Some(other) = after.trim_start().strip_prefix("@else") {
            let (thing, behind) = other.split_at(extent(other));
            chosen = if is_met { chosen } else { thing };
            after = behind;
        }
        kept += &with_conditions_met(chosen, feature)?;
        rest = after;
    }
    Ok(kept + rest)
}

fn is_met(condition: &str, feature: &impl Fn(&str) -> Option<bool>) -> Result<bool, String> {
    condition.split("||").map(str::trim).try_fold(false, |is_met, name| {
        let is_set = feature(name).ok_or_else(|| format!("@if({condition}): there is no feature {name}"))?;
        Ok(is_met || is_set)
    })
}

/// Bytes of the declaration, member or block with which `text` begins, including the mark or brace that ends it.
fn extent(text: &str) -> usize {
    let (mut depth, mut angles) = (0u32, 0u32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            // The end of what it is part of.
            b')' | b']' | b'}' if depth == 0 => return at,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 && byte == b'}' {
                    return at + 1;
                }
            }
            b'<' if depth == 0 => angles += 1,
            b'>' if depth == 0 => angles = angles.saturating_sub(1),
            b';' if depth == 0 => return at + 1,
            b',' if depth == 0 && angles == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &[(&str, &str)] = &[
        (
            "root",
            "// A comment with a brace {\n\
             import package::shared::one::{\n    ONE, double,\n};\n\
             import package::shared::two::{TWO};\n\
             struct Pair {\n    @if(wide) // }\n    far: array<vec4<u32>, ONE>,\n    near: u32,\n    @if(wide) last: u32\n}\n\
             fn main() {\n    @if(wide) { if ONE < TWO { first(); } @if(small || wide) { second(); } }\n    third();\n}\n",
        ),
        (
            "shared::one",
            "import package::shared::two::{TWO};\n@if(small || wide)\nconst ONE = 1;\nfn double() { TWO; }\n",
        ),
        ("shared::two", "@if(small)\n@workgroup_size(1) fn two() { 2; }\n@else\nconst TWO = 2 * (1, 1);\n"),
        ("unended", "import package::shared::one::{ONE}"),
        ("foreign", "import other::{ONE};"),
        ("lost", "import package::nowhere::{};"),
        ("nameless", "import package::shared::one::{ONE, THREE};"),
        ("unknown", "@if(narrow) const ONE = 1;"),
        ("open", "@if(wide"),
    ];

    fn source(path: &str) -> Option<&'static str> {
        MODULES.iter().find(|(name, _)| *name == path).map(|(_, source)| *source)
    }

    fn composed(root: &str, set: &str) -> Result<String, String> {
        let composed = compose(root, source, |name| ["small", "wide"].contains(&name).then(|| name == set))?;
        Ok(composed.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn conditions_choose_and_each_module_comes_once() {
        assert_eq!(
            composed("root", "wide").unwrap(),
            "struct Pair { far: array<vec4<u32>, ONE>, near: u32, last: u32 } \
             fn main() { { if ONE < TWO { first(); } { second(); } } third(); } \
             const ONE = 1; fn double() { TWO; } const TWO = 2 * (1, 1);"
        );
        assert_eq!(
            composed("root", "small").unwrap(),
            "struct Pair { near: u32, } fn main() { third(); } \
             const ONE = 1; fn double() { TWO; } @workgroup_size(1) fn two() { 2; }"
        );
        assert_eq!(composed("shared::one", "").unwrap(), "fn double() { TWO; } const TWO = 2 * (1, 1);");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (root, reason) in [
            ("absent", "there is no module absent"),
            ("unended", "unended: an import does not end with `;`"),
            ("foreign", "foreign: `import other::{ONE}` is not `import package::path::{names}`"),
            ("lost", "there is no module nowhere"),
            ("nameless", "nameless: no THREE is declared in shared::one"),
            ("unknown", "unknown: @if(narrow): there is no feature narrow"),
            ("open", "open: a condition does not end with `)`"),
        ] {
            assert_eq!(composed(root, "wide").unwrap_err(), reason);
        }
    }

    #[test]
    fn shaders_import_what_they_use_and_nothing_else() {
        let sources = unmix_shaders::SOURCES;
        for (path, source) in sources {
            let (imports, text) = without_imports(&without_comments(source)).unwrap();
            for import in imports {
                let (_, module) = sources.iter().find(|(path, _)| **path == import.module).expect("a module");
                let mut used: Vec<&str> =
                    declared(module).into_iter().filter(|name| words(&text).any(|word| word == *name)).collect();
                let mut imported: Vec<&str> = import.names.iter().map(String::as_str).collect();
                used.sort_unstable();
                used.dedup();
                imported.sort_unstable();
                assert_eq!(imported, used, "{path}, {}", import.module);
            }
        }
    }
}
