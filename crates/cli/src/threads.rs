//! How many threads compute.

use crate::failure::Failure;

/// The variables in which rayon looks for a number of threads, in rayon's order.
const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"];

/// Most threads for each processor. More of them would only wait for one another.
const MOST_FOR_A_PROCESSOR: usize = 4;

/// Starts the threads that share the work: as many as the environment says, within reason, or else one for each
/// processor.
pub fn start() -> Result<(), Failure> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let given = VARIABLES.into_iter().find_map(|name| Some((name, std::env::var_os(name)?)));
    let count = match &given {
        Some((name, text)) => {
            let (count, warning) = within_reason(name, &text.to_string_lossy(), processors);
            warning.iter().for_each(|warning| log::warn!("{warning}"));
            count
        }
        None => processors,
    };
    rayon::ThreadPoolBuilder::new().num_threads(count).build_global().map_err(|error| {
        Failure::Memory(format!(
            "{count} threads cannot be started: {error}; allow more memory or processes (`ulimit -v`, `ulimit -u`), or fewer \
             threads with {}",
            VARIABLES[0]
        ))
    })
}

/// The number of threads that `text`, the value of the variable `name`, asks for, and what is wrong with it.
fn within_reason(name: &str, text: &str, processors: usize) -> (usize, Option<String>) {
    let most = processors.saturating_mul(MOST_FOR_A_PROCESSOR);
    match text.parse::<usize>() {
        // As in rayon.
        Ok(0) => (processors, None),
        Ok(count) if count <= most => (count, None),
        Ok(count) => {
            let warning =
                format!("{name}={count}: far more than this machine's {processors} processors; {most} are used");
            (most, Some(warning))
        }
        Err(_) if text.is_empty() => (processors, None),
        Err(_) => (processors, Some(format!("{name}={text}: no number of threads; {processors} are used"))),
    }
}

#[cfg(test)]
mod tests {
    use super::within_reason;

    #[test]
    fn absurd_numbers_of_threads_are_cut_and_told() {
        let of = |text| within_reason("THREADS", text, 8);
        for (text, count) in [("1", 1), ("12", 12), ("32", 32), ("0", 8), ("", 8)] {
            assert_eq!(of(text), (count, None), "{text:?}");
        }
        for (text, count) in [("33", 32), ("10000", 32), ("-1", 8), ("many", 8), ("99999999999999999999999", 8)] {
            let (found, warning) = of(text);
            assert_eq!(found, count, "{text:?}");
            assert!(warning.is_some_and(|warning| warning.contains(text) && warning.contains(&count.to_string())));
        }
    }
}
