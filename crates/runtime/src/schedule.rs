//! In which order a recording visits the panels of the activations.

use std::ops::Range;

use unmix_kernels::{Command, Recording, Resource};

use crate::Error;

/// A recording as a list of segments, in order. Each segment needs at most one panel of the activations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub segments: Vec<Segment>,
}

/// Commands that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The panel that they bind. `None`: they bind no panel.
    pub panel: Option<u32>,
    /// Where they stand in the recording.
    pub commands: Range<usize>,
}

/// A kernel binds two panels at once, of which a stream cannot hold both. The kernel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TwoPanels(pub &'static str);

impl Schedule {
    /// All commands as one segment, for activations whose panels are all at hand.
    pub fn undivided(recording: &Recording) -> Self {
        Schedule { segments: vec![Segment { panel: None, commands: 0..recording.commands.len() }] }
    }

    /// A segment for each visit to a panel, from the first command that binds it to the last before another panel is bound.
    /// Commands between two visits are a segment without a panel. A panel that a recording returns to is visited again.
    pub fn new(recording: &Recording) -> Result<Self, TwoPanels> {
        let mut visits: Vec<(u32, Range<usize>)> = Vec::new();
        for (index, command) in recording.commands.iter().enumerate() {
            let Some(panel) = panel_of(command)? else { continue };
            match visits.last_mut() {
                Some((last, commands)) if *last == panel => commands.end = index + 1,
                _ => visits.push((panel, index..index + 1)),
            }
        }
        let (mut segments, mut end) = (Vec::new(), 0);
        let mut add = |panel, commands: Range<usize>| {
            if !commands.is_empty() {
                segments.push(Segment { panel, commands });
            }
        };
        for (panel, commands) in visits {
            add(None, end..commands.start);
            end = commands.end;
            add(Some(panel), commands);
        }
        add(None, end..recording.commands.len());
        Ok(Schedule { segments })
    }

    /// The panels that are visited, in order.
    pub fn visits(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().filter_map(|segment| segment.panel)
    }
}

/// An engine knows nothing of other processes, so it runs no reductions.
pub(crate) fn refuse_reductions(recording: &Recording, adapter: &str) -> Result<(), Error> {
    let reduces = recording.commands.iter().any(|command| matches!(command, Command::Reduce(_)));
    if !reduces {
        return Ok(());
    }
    Err(Error::Refused {
        adapter: adapter.to_owned(),
        what: "a reduction over several processes".to_owned(),
        reason: "an engine runs what is recorded before and after it, and its caller reduces".to_owned(),
    })
}

/// The panel that a command binds.
fn panel_of(command: &Command) -> Result<Option<u32>, TwoPanels> {
    let Command::Dispatch(dispatch) = command else { return Ok(None) };
    let mut found = None;
    for binding in &dispatch.bindings {
        match (*binding, found) {
            (Resource::Buffer(_), _) => {}
            (Resource::Panel(panel), Some(other)) if panel != other => return Err(TwoPanels(dispatch.kernel.name)),
            (Resource::Panel(panel), _) => found = Some(panel),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{Access, BufferId, Cost, CpuTwin, ElementType, Kernel, PORTABLE};

    use super::*;

    static KERNEL: Kernel = Kernel {
        name: "two",
        access: &[Access::Read, Access::Read],
        params_size: 0,
        reads_elements: false,
        variants: PORTABLE,
        twin: CpuTwin::Alone(|_, _| ()),
    };

    /// A recording of dispatches that bind these panels.
    fn recording(panels: &[[Option<u32>; 2]]) -> Recording {
        let mut recording = Recording::new();
        for pair in panels {
            let resource = |panel: Option<u32>| panel.map_or(BufferId(0).into(), Resource::Panel);
            recording.dispatch(&KERNEL, ElementType::F32, &(), &pair.map(resource), [1; 3], Cost::default());
        }
        recording
    }

    fn segments(panels: &[Option<u32>]) -> Vec<(Option<u32>, Range<usize>)> {
        let pairs: Vec<_> = panels.iter().map(|&panel| [panel, None]).collect();
        let schedule = Schedule::new(&recording(&pairs)).expect("one panel a dispatch");
        schedule.segments.into_iter().map(|segment| (segment.panel, segment.commands)).collect()
    }

    #[test]
    fn a_visit_lasts_from_the_first_command_that_binds_the_panel_to_the_last() {
        assert_eq!(segments(&[]), []);
        assert_eq!(segments(&[None, None]), [(None, 0..2)]);
        assert_eq!(
            segments(&[None, Some(0), None, Some(0), None, Some(1), Some(1), Some(2), None]),
            [(None, 0..1), (Some(0), 1..4), (None, 4..5), (Some(1), 5..7), (Some(2), 7..8), (None, 8..9)]
        );
    }

    #[test]
    fn a_panel_is_visited_again_if_the_recording_returns_to_it() {
        assert_eq!(segments(&[Some(3), Some(1), Some(3)]), [(Some(3), 0..1), (Some(1), 1..2), (Some(3), 2..3)]);
        let schedule = Schedule::new(&recording(&[[Some(3), None], [None, Some(1)], [Some(3), Some(3)]])).unwrap();
        assert_eq!(schedule.visits().collect::<Vec<_>>(), [3, 1, 3]);
    }

    #[test]
    fn two_panels_in_one_dispatch_are_refused() {
        assert_eq!(Schedule::new(&recording(&[[Some(0), Some(1)]])), Err(TwoPanels("two")));
    }

    #[test]
    fn panels_that_are_all_at_hand_need_no_division() {
        let whole = Schedule::undivided(&recording(&[[Some(0), Some(1)], [Some(2), None]]));
        assert_eq!(whole.segments, [Segment { panel: None, commands: 0..2 }]);
    }
}
