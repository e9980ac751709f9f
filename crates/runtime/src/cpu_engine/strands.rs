//! Which commands of a recording may run side by side.

use std::collections::HashMap;

use unmix_kernels::{Access, BufferId, Command, Resource};

/// Commands by their numbers, in order. They depend on one another: two of them share a buffer that one of them writes, or
/// both depend on a third one.
pub(super) type Strand = Vec<usize>;

/// Cuts commands into strands. A command of one strand neither reads nor writes what a command of another strand writes, so
/// that the results are the same in whatever order the strands run. The strands are those of fits in lockstep: each fit has
/// buffers of its own.
pub(super) fn strands<'c>(commands: impl IntoIterator<Item = (usize, &'c Command)>) -> Vec<Strand> {
    let commands: Vec<(usize, &Command)> = commands.into_iter().collect();
    let mut users: HashMap<BufferId, (Vec<usize>, bool)> = HashMap::new();
    for (place, (_, command)) in commands.iter().enumerate() {
        for (buffer, access) in used_by(command) {
            let (places, is_written) = users.entry(buffer).or_default();
            places.push(place);
            *is_written |= access == Access::ReadWrite;
        }
    }
    let mut leaders: Vec<usize> = (0..commands.len()).collect();
    for (places, _) in users.values().filter(|(_, is_written)| *is_written) {
        for pair in places.windows(2) {
            let [first, second] = [pair[0], pair[1]].map(|place| leader(&mut leaders, place));
            leaders[first.max(second)] = first.min(second);
        }
    }
    let mut strands: Vec<Strand> = Vec::new();
    let mut strand_of = HashMap::new();
    for (place, &(number, _)) in commands.iter().enumerate() {
        let strand = *strand_of.entry(leader(&mut leaders, place)).or_insert_with(|| {
            strands.push(Vec::new());
            strands.len() - 1
        });
        strands[strand].push(number);
    }
    strands
}

/// The first command that `place` is known to depend on.
fn leader(leaders: &mut [usize], mut place: usize) -> usize {
    while leaders[place] != place {
        leaders[place] = leaders[leaders[place]];
        place = leaders[place];
    }
    place
}

/// The buffers that a command uses, and how.
pub(super) fn used_by(command: &Command) -> Vec<(BufferId, Access)> {
    match command {
        Command::Clear(id) => vec![(*id, Access::ReadWrite)],
        Command::Copy { from, to, .. } => vec![(*from, Access::Read), (*to, Access::ReadWrite)],
        Command::Dispatch(dispatch) => {
            let accesses = dispatch.bindings.iter().zip(dispatch.kernel.access);
            let of_buffer = |(binding, access): (&Resource, &Access)| match binding {
                Resource::Buffer(id) => Some((*id, *access)),
                Resource::Panel(_) => None,
            };
            accesses.filter_map(of_buffer).collect()
        }
        Command::Reduce(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{Recording, Workspace};

    use super::*;

    #[test]
    fn commands_that_share_a_buffer_which_one_of_them_writes_are_a_strand() {
        let mut workspace = Workspace::default();
        let [source, a, b, c, d] = ["source", "a", "b", "c", "d"].map(|name| workspace.words(name, 4));
        let mut recording = Recording::new();
        recording.copy(source, a, 16);
        recording.copy(source, b, 16);
        recording.copy(a, c, 16);
        recording.clear(d);
        recording.copy(b, c, 16);
        let commands = || recording.commands.iter().enumerate();
        // Both read the source. The last command joins what was written to `a` and `b`.
        assert_eq!(strands(commands()), [vec![0, 1, 2, 4], vec![3]]);
        assert_eq!(strands(commands().take(4)), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(strands(commands().skip(3)), [vec![3], vec![4]]);
        assert!(strands(commands().take(0)).is_empty());
    }
}
