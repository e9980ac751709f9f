//! `cargo xtask shader-check`: every composed shader through the compilers of others.

#[cfg(unix)]
mod direct3d;
mod npm;
mod spirv;
mod verdict;

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::{output_of, root, target};
use crate::shader_check::npm::Dawn;
use crate::shader_check::verdict::Verdicts;
use crate::shader_stats;

/// Shaders that a compiler refuses, and why that is no problem: the beginning of the shader's name, the compiler, the
/// reason. What a compiler takes must not stand here.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// One line of the index of the folder of shaders.
struct Shader {
    stem: String,
    name: String,
    /// Entry points for FXC and DXC, if the shader is for them.
    entries: [Option<String>; 2],
}

/// What one compiler says, or why it could not be asked.
struct Column {
    compiler: &'static str,
    outcome: Result<Verdicts, String>,
}

pub fn run(args: &[String]) -> Result<(), Failure> {
    let (mut is_quick, mut out, mut kernels) = (false, None, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => is_quick = true,
            "--out" => {
                out = Some(args.next().ok_or_else(|| Failure::Usage("`--out` needs a file".to_owned()))?);
            }
            option if option.starts_with('-') => {
                return Err(Failure::Usage(format!("`shader-check` does not take {option:?}")));
            }
            kernel => kernels.push(kernel.to_owned()),
        }
    }
    let work = target()?.join("xtask-shader-check");
    let folder = work.join("shaders");
    // Shaders of an earlier run may have other names.
    let _ = fs::remove_dir_all(&folder);
    output_of(Command::new(shader_stats::build()?).arg("files").arg(&folder).args(&kernels))?;
    let shaders = read_index(&folder)?;
    let columns = check(&work, &folder, &shaders, is_quick)?;
    let table = table(&shaders, &columns);
    print!("\n{table}");
    if let Some(file) = out {
        fs::write(file, &table).map_err(|e| format!("cannot write {file}: {e}"))?;
    }
    let problems = problems(&shaders, &columns);
    problems.iter().for_each(|problem| println!("problem: {problem}"));
    let checked: usize = columns.iter().filter_map(|column| column.outcome.as_ref().ok()).map(HashMap::len).sum();
    println!("{} shaders, {checked} checks, {} problems", shaders.len(), problems.len());
    if problems.is_empty() { Ok(()) } else { Err("not every shader passes".to_owned().into()) }
}

fn read_index(folder: &Path) -> Result<Vec<Shader>, String> {
    let index = folder.join("shaders.tsv");
    let text = fs::read_to_string(&index).map_err(|e| format!("cannot read {}: {e}", index.display()))?;
    let entry = |name: &str| (name != "-").then(|| name.to_owned());
    let shader = |line: &str| {
        let [stem, name, old, new] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        Some(Shader { stem: stem.to_owned(), name: name.to_owned(), entries: [entry(old), entry(new)] })
    };
    let shaders: Option<Vec<Shader>> = text.lines().map(shader).collect();
    shaders.ok_or_else(|| format!("{} is not an index of shaders", index.display()))
}

/// Asks every compiler. What cannot be had is an outcome of its own, so that the others still say something.
fn check(work: &Path, folder: &Path, shaders: &[Shader], is_quick: bool) -> Result<Vec<Column>, String> {
    let sources = root()?.join("crates/xtask/shaders");
    let file = |shader: &Shader, extension: &str| folder.join(format!("{}.{extension}", shader.stem));
    let all = |extension: &str| shaders.iter().map(|shader| file(shader, extension)).collect::<Vec<PathBuf>>();
    let mut columns = vec![Column { compiler: "spirv-val", outcome: spirv::validate(&all("spv")) }];
    let dawn = Dawn::ensure(work);
    // Chrome has no cooperative matrices yet.
    let portable: Vec<PathBuf> = all("wgsl")
        .into_iter()
        .filter(|path| !fs::read_to_string(path).is_ok_and(|text| text.contains("wgpu_cooperative_matrix")))
        .collect();
    let tint = dawn.as_ref().map_err(String::clone).and_then(|dawn| dawn.tint(&sources.join("tint.mjs"), &portable));
    columns.push(Column { compiler: "Tint", outcome: tint });
    if is_quick {
        return Ok(columns);
    }
    #[cfg(unix)]
    {
        let direct3d = dawn.and_then(|dawn| direct3d::Direct3d::ensure(work, &sources.join("hlsl.c"), &dawn.windows()));
        for (compiler, name, which) in [("DXC", "dxc", 1), ("FXC", "fxc", 0)] {
            println!("Compiling with {compiler}");
            let files: Vec<(PathBuf, String)> = shaders
                .iter()
                .filter_map(|shader| Some((file(shader, &format!("{name}.hlsl")), shader.entries[which].clone()?)))
                .collect();
            let outcome = direct3d.as_ref().map_err(String::clone).and_then(|tool| tool.compile(name, &files));
            columns.push(Column { compiler, outcome });
        }
    }
    Ok(columns)
}

/// Whether a compiler should have said something of a shader.
fn is_due(shader: &Shader, compiler: &str) -> bool {
    match compiler {
        "FXC" => shader.entries[0].is_some(),
        // Cooperative matrices have no HLSL, and Tint does not know them.
        "DXC" | "Tint" => shader.entries[1].is_some(),
        _ => true,
    }
}

fn table(shaders: &[Shader], columns: &[Column]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "| {:<46} |", "shader");
    for column in columns {
        let _ = write!(text, " {:>12} |", column.compiler);
    }
    let _ = write!(text, "\n|{}|", "-".repeat(48));
    text.push_str(&format!("{}:|", "-".repeat(13)).repeat(columns.len()));
    for shader in shaders {
        let _ = write!(text, "\n| {:<46} |", shader.name);
        for column in columns {
            let verdict = column.outcome.as_ref().ok().and_then(|verdicts| verdicts.get(&shader.stem));
            let cell = match verdict {
                Some(verdict) => {
                    let seconds = verdict.milliseconds as f64 / 1000.0;
                    format!("{} {seconds:.2} s", if verdict.is_good { "ok" } else { "no" })
                }
                None if is_due(shader, column.compiler) => "not asked".to_owned(),
                None => "-".to_owned(),
            };
            let _ = write!(text, " {cell:>12} |");
        }
    }
    text.push_str("\n\n`no`: refused; `-`: the compiler is not for this shader.\n");
    for (shader, compiler, reason) in EXCEPTIONS {
        let _ = writeln!(text, "Excepted: `{}` with {compiler}: {reason}.", shader.trim_end());
    }
    text
}

fn problems(shaders: &[Shader], columns: &[Column]) -> Vec<String> {
    let mut problems = Vec::new();
    for Column { compiler, outcome } in columns {
        let verdicts = match outcome {
            Ok(verdicts) => verdicts,
            Err(reason) => {
                problems.push(format!("{compiler} could not be asked: {reason}"));
                continue;
            }
        };
        for shader in shaders.iter().filter(|shader| is_due(shader, compiler)) {
            let name = &shader.name;
            let is_excepted =
                EXCEPTIONS.iter().any(|(start, whose, _)| whose == compiler && format!("{name} ").starts_with(start));
            match verdicts.get(&shader.stem) {
                None => problems.push(format!("{compiler} came to no end with {name}")),
                Some(verdict) if !verdict.is_good && !is_excepted => {
                    problems.push(format!("{compiler} refuses {name}: {}", verdict.message));
                }
                Some(verdict) if verdict.is_good && is_excepted => {
                    problems.push(format!("{compiler} takes {name}, which is excepted; delete the exception"));
                }
                Some(_) => {}
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::verdict::Verdict;
    use super::*;

    fn shader(name: &str) -> Shader {
        let entries = [Some("main".to_owned()), Some("main".to_owned())];
        Shader { stem: name.replace(' ', "-"), name: name.to_owned(), entries }
    }

    fn column(compiler: &'static str, verdicts: &[(&str, bool)]) -> Column {
        let verdict = |is_good| Verdict { is_good, milliseconds: 10, message: "why".to_owned() };
        let verdicts = verdicts.iter().map(|(stem, is_good)| ((*stem).to_owned(), verdict(*is_good)));
        Column { compiler, outcome: Ok(verdicts.collect()) }
    }

    #[test]
    fn a_refusal_a_silence_and_a_missing_compiler_are_problems() {
        let shaders = [shader("loss f32"), shader("keep_best f32")];
        let columns = [
            column("DXC", &[("loss-f32", false), ("keep_best-f32", true)]),
            column("Tint", &[("loss-f32", true)]),
            Column { compiler: "FXC", outcome: Err("no Wine".to_owned()) },
        ];
        let expected =
            ["DXC refuses loss f32: why", "Tint came to no end with keep_best f32", "FXC could not be asked: no Wine"];
        assert_eq!(problems(&shaders, &columns), expected);
        assert!(table(&shaders, &columns).contains("no 0.01 s"));
    }

    #[test]
    fn an_exception_must_be_one() {
        let Some((start, compiler, _)) = EXCEPTIONS.first() else { return };
        let name = format!("{start}f32");
        let stem = name.replace(' ', "-");
        assert!(problems(&[shader(&name)], &[column(compiler, &[(&stem, false)])]).is_empty());
        assert!(problems(&[shader(&name)], &[column(compiler, &[(&stem, true)])])[0].contains("delete the exception"));
    }
}
