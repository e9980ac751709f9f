//! A recording in words: one line a command.

use std::fmt::Write;

use crate::{Access, Command, Dispatch, Precision, Recording, Resource, Workspace};

impl Recording {
    /// The commands in order, one on each line: what runs, how much work it is, what it reads, and after an arrow what
    /// it writes. Buffers appear by their names in `workspace`, which must be the one that the recording was made for.
    pub fn listing(&self, workspace: &Workspace) -> String {
        let name = |resource: Resource| match resource {
            Resource::Panel(panel) => format!("panel {panel}"),
            Resource::Buffer(id) => workspace
                .buffers
                .get(id.0 as usize)
                .map_or_else(|| format!("unknown buffer {}", id.0), |spec| spec.name.clone()),
        };
        let mut text = String::new();
        for command in &self.commands {
            let (what, work, operands) = match command {
                Command::Dispatch(dispatch) => (kernel(dispatch), work(dispatch), operands(dispatch, name)),
                Command::Clear(buffer) => ("clear".to_owned(), String::new(), format!("-> {}", name((*buffer).into()))),
                Command::Copy { from, to, bytes } => {
                    let operands = format!("{} -> {}", name((*from).into()), name((*to).into()));
                    ("copy".to_owned(), format!("{bytes} B"), operands)
                }
                Command::Reduce(reduction) => {
                    let sums: Vec<_> = reduction.sums.iter().map(|sum| name(sum.buffer.into())).collect();
                    let last = if reduction.last { ", all ranks" } else { "" };
                    let what = format!("reduce segment {} of {}{last}", reduction.segment + 1, reduction.segments);
                    (what, format!("{} B", reduction.bytes()), format!("-> {}", sums.join(", ")))
                }
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{what:<34} {work:>24}  {operands}");
        }
        text
    }
}

/// The kernel, the type of the elements that it reads, and what its dispatch promises.
fn kernel(dispatch: &Dispatch) -> String {
    let mut text = dispatch.kernel.name.to_owned();
    if dispatch.kernel.reads_elements {
        text += &format!(" {}", dispatch.element);
    }
    match dispatch.promise.precision {
        Precision::F32 => {}
        Precision::F16 => text += " rounded to f16",
        Precision::Bf16 => text += " rounded",
    }
    if dispatch.promise.symmetric {
        text += " symmetric";
    }
    text
}

fn work(dispatch: &Dispatch) -> String {
    format!("{} B {} FLOP", dispatch.cost.bytes(), dispatch.cost.flops)
}

fn operands(dispatch: &Dispatch, name: impl Fn(Resource) -> String) -> String {
    let of = |wanted: Access| {
        let bound = dispatch.bindings.iter().zip(dispatch.kernel.access).filter(|(_, access)| **access == wanted);
        bound.map(|(resource, _)| name(*resource)).collect::<Vec<_>>().join(", ")
    };
    format!("{} -> {}", of(Access::Read), of(Access::ReadWrite))
}

#[cfg(test)]
mod tests {
    use crate::{ElementType, Recording, Summation, Workspace, coefficient_gram, cross_product};

    #[test]
    fn every_command_is_a_line_that_names_its_buffers_and_promises() {
        let mut workspace = Workspace::default();
        let y = workspace.matrix("coefficients", 5, 3);
        let (gram, sums) = (workspace.matrix("gram", 3, 3), workspace.matrix("sums", 3, 3));
        let mut recording = Recording::new();
        recording.clear(gram.buffer());
        coefficient_gram(&mut recording, y, gram, false, None);
        let x = crate::Matrix { element: ElementType::F16, resource: crate::Resource::Panel(2), ..y };
        let rounded = Summation { precision: crate::Precision::Bf16, split: None };
        cross_product(&mut recording, x, y, sums, 1.0, true, rounded);
        recording.copy(gram.buffer(), sums.buffer(), 48);
        let lines: Vec<Vec<String>> = recording
            .listing(&workspace)
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(
            lines.iter().map(|words| words.join(" ")).collect::<Vec<_>>(),
            [
                "clear -> gram",
                "cross_product f32 symmetric 156 B 60 FLOP coefficients, coefficients -> gram",
                "cross_product f16 rounded 162 B 90 FLOP panel 2, coefficients -> sums",
                "copy 48 B gram -> sums",
            ]
        );
    }
}
