//! Which commands of strands run as one.

use std::mem::take;

use unmix_kernels::{Access, Command, CpuTwin, Dispatch};

use super::strands::{Strand, used_by};

/// A command, or dispatches of one kernel that its twin computes together. None of them writes what another one uses.
pub(super) type Unit = Vec<usize>;

/// What the engine does at a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Parts of strands, which run side by side.
    Apart(Vec<Vec<Unit>>),
    /// Dispatches of several strands.
    Together(Unit),
}

/// Cuts strands into phases. Dispatches that follow one another in a strand and prepare the same operand are a unit. Where several strands have
/// come to dispatches with the same first operand, these are one unit: fits in lockstep that project the tokens of a panel, and that add them
/// to their sums.
pub(super) fn phases(commands: &[Command], strands: &[Strand]) -> Vec<Phase> {
    let mut strands: Vec<Vec<Unit>> = strands.iter().map(|strand| units(commands, strand)).collect();
    // The next unit is taken from the end.
    strands.iter_mut().for_each(|units| units.reverse());
    let first = |units: &Vec<Unit>| units.last().and_then(|unit| joining(&commands[unit[0]]));
    let mut apart: Vec<Vec<Unit>> = vec![Vec::new(); strands.len()];
    let mut phases = Vec::new();
    let end_apart = |apart: &mut Vec<Vec<Unit>>, phases: &mut Vec<Phase>| {
        let parts: Vec<Vec<Unit>> = apart.iter_mut().map(take).filter(|part| !part.is_empty()).collect();
        phases.extend((!parts.is_empty()).then_some(Phase::Apart(parts)));
    };
    while strands.iter().any(|units| !units.is_empty()) {
        for (units, apart) in strands.iter_mut().zip(&mut apart) {
            while first(units).is_none()
                && let Some(unit) = units.pop()
            {
                apart.push(unit);
            }
        }
        let alike = |one: usize, other: usize| {
            first(&strands[one]).zip(first(&strands[other])).is_some_and(|(one, other)| {
                one.kernel == other.kernel && one.prepared.first() == other.prepared.first()
            })
        };
        let partners = |one: usize| (0..strands.len()).filter(move |&other| alike(one, other));
        let meeting: Option<Vec<usize>> =
            (0..strands.len()).map(|one| partners(one).collect()).find(|meeting: &Vec<usize>| meeting.len() > 1);
        match meeting {
            Some(meeting) => {
                end_apart(&mut apart, &mut phases);
                phases.push(Phase::Together(
                    meeting.into_iter().filter_map(|one| strands[one].pop()).flatten().collect(),
                ));
            }
            None => strands.iter_mut().zip(&mut apart).for_each(|(units, apart)| apart.extend(units.pop())),
        }
    }
    end_apart(&mut apart, &mut phases);
    phases
}

/// Cuts a strand into units.
fn units(commands: &[Command], strand: &Strand) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for &number in strand {
        match units.last_mut().filter(|unit| may_join(commands, unit, number)) {
            Some(unit) => unit.push(number),
            None => units.push(vec![number]),
        }
    }
    units
}

/// Whether a command prepares what one of the unit does, and depends on none of them.
fn may_join(commands: &[Command], unit: &Unit, number: usize) -> bool {
    let Some(own) = joining(&commands[number]) else { return false };
    let prepares_same = |other: &Dispatch| {
        own.kernel == other.kernel && own.prepared.iter().any(|operand| other.prepared.contains(operand))
    };
    unit.iter().any(|&other| joining(&commands[other]).is_some_and(prepares_same))
        && unit.iter().all(|&other| are_independent(&commands[other], &commands[number]))
}

/// A dispatch that can be computed together with others.
fn joining(command: &Command) -> Option<&Dispatch> {
    match command {
        Command::Dispatch(dispatch) if matches!(dispatch.kernel.twin, CpuTwin::Together(_)) => Some(dispatch),
        _ => None,
    }
}

/// Whether neither command writes what the other one uses.
fn are_independent(one: &Command, other: &Command) -> bool {
    let of_other = used_by(other);
    let is_harmless = |(buffer, access)| {
        of_other
            .iter()
            .all(|&(other, of_other)| other != buffer || (access == Access::Read && of_other == Access::Read))
    };
    used_by(one).into_iter().all(is_harmless)
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{Matrix, Recording, Resource, Summation, Workspace, cross_product, sparse_projection};

    use super::super::strands::strands;
    use super::*;

    const ROWS: u32 = 40;

    /// Two fits that visit panels, of which each has its own sample if they are `sampled`.
    fn recording(panels: u32, sampled: bool) -> Recording {
        let (mut w, mut r) = (Workspace::default(), Recording::new());
        let fits = [0, 1].map(|_| {
            let matrices = [ROWS, ROWS, 3, 3].map(|rows| w.matrix("matrix", rows, if rows == ROWS { 3 } else { 8 }));
            let gram = w.matrix("Gram matrix", 3, 3);
            (matrices, gram, w.words("kept neurons", 6), w.words("kept values", 6))
        });
        for panel in 0..panels {
            for (number, &([coefficients, projections, cross, _], gram, indices, values)) in fits.iter().enumerate() {
                let resource = Resource::Panel(panel);
                let whole = Matrix { resource, rows: 2 * ROWS, columns: 8, stride: 8, ..coefficients };
                let x = if sampled { whole.part(ROWS * number as u32, ROWS) } else { whole.first_rows(ROWS) };
                sparse_projection(&mut r, x, indices, values, 2, projections, 1.0);
                r.copy(projections.buffer(), coefficients.buffer(), 16);
                cross_product(&mut r, x, coefficients, cross, 1.0, true, Summation::default());
                cross_product(&mut r, coefficients, coefficients, gram, 1.0, true, Summation::default());
            }
        }
        r
    }

    fn phases_of(recording: &Recording) -> Vec<Phase> {
        phases(&recording.commands, &strands(recording.commands.iter().enumerate()))
    }

    #[test]
    fn fits_that_visit_a_panel_project_it_together_and_add_it_to_their_sums_together() {
        let apart = |first: usize| Phase::Apart(vec![vec![vec![first]], vec![vec![first + 4]]]);
        let of_panel = |first: usize| {
            [
                Phase::Together(vec![first, first + 4]),
                apart(first + 1),
                Phase::Together(vec![first + 2, first + 3, first + 6, first + 7]),
            ]
        };
        assert!(phases_of(&recording(2, false)).into_iter().eq([0, 8].into_iter().flat_map(of_panel)));
    }

    #[test]
    fn fits_with_samples_of_their_own_do_not_wait_for_one_another() {
        // The sums over the tokens and the Gram matrix look for the same nonzeros.
        let strand = |first: usize| vec![vec![first], vec![first + 1], vec![first + 2, first + 3]];
        assert_eq!(phases_of(&recording(1, true)), [Phase::Apart(vec![strand(0), strand(4)])]);
    }

    #[test]
    fn every_command_runs_once_and_in_the_order_of_its_strand() {
        for (panels, sampled) in [(0, false), (3, false), (3, true)] {
            let recording = recording(panels, sampled);
            let mut order: Vec<usize> = Vec::new();
            for phase in phases_of(&recording) {
                match phase {
                    Phase::Apart(parts) => order.extend(parts.into_iter().flatten().flatten()),
                    Phase::Together(unit) => order.extend(unit),
                }
            }
            for strand in strands(recording.commands.iter().enumerate()) {
                assert!(order.iter().filter(|number| strand.contains(number)).eq(&strand));
            }
            assert_eq!(order.len(), recording.commands.len());
        }
    }
}
