//! What a record of measurements says about itself: the commit and the command.

use std::path::Path;
use std::process::Command;

use crate::process::output_of;

/// The commit that is checked out, and whether anything differs from it.
pub fn commit(root: &Path) -> String {
    let git = |args: &[&str]| output_of(Command::new("git").args(args).current_dir(root));
    match (git(&["rev-parse", "--short", "HEAD"]), git(&["status", "--porcelain"])) {
        (Ok(commit), Ok(changes)) if changes.is_empty() => format!("{}, clean tree", commit.trim()),
        (Ok(commit), _) => format!("{}, with uncommitted changes", commit.trim()),
        _ => "not known".to_owned(),
    }
}

/// The command as it was typed. Of files it has only the names, because folders differ from machine to machine.
pub fn as_typed(command: &str, args: &[String]) -> String {
    let name = |arg: &String| match Path::new(arg).file_name() {
        Some(name) if arg.contains(['/', '\\']) => name.to_string_lossy().into_owned(),
        _ if arg.contains(' ') => format!("'{arg}'"),
        _ => arg.clone(),
    };
    ["cargo", "xtask", command]
        .map(str::to_owned)
        .into_iter()
        .chain(args.iter().map(name))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::as_typed;

    #[test]
    fn the_record_names_no_folders_and_quotes_what_has_spaces() {
        let args = ["--data", "/home/me/a.safetensors", "--rounds", "2"].map(str::to_owned);
        assert_eq!(as_typed("compare", &args), "cargo xtask compare --data a.safetensors --rounds 2");
        let args = ["--setting", "a=--penalty 0.1"].map(str::to_owned);
        assert_eq!(as_typed("quality", &args), "cargo xtask quality --setting 'a=--penalty 0.1'");
    }
}
