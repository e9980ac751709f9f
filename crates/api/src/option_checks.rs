//! Checks that options are possible for the activations.

use std::fmt::Display;

use unmix_runtime::PanelLayout;

use crate::{DenseMatrix, Error, Init, Options};

/// Largest number of updates of the coefficients in an iteration. They cannot be interrupted, and more of them change nothing.
const MOST_SWEEPS: u32 = 1000;

/// The message for a number that [`is_f32_of_at_least_zero`] refuses.
pub(crate) const AT_LEAST_ZERO: &str = "a number from 0 to 3.4e38 is needed, the range of 32-bit floating point";

/// Whether a number is at least zero and in the range of f32, in which it is computed with.
pub(crate) fn is_f32_of_at_least_zero(value: f64) -> bool {
    value >= 0.0 && (value as f32).is_finite()
}

fn refuse(option: &'static str, given: &dyn Display, expected: String) -> Result<(), Error> {
    Err(Error::Option { option, given: given.to_string(), expected })
}

/// Returns an error if an option is impossible for activations of this layout.
pub(crate) fn check(options: &Options, layout: &PanelLayout) -> Result<(), Error> {
    let (tokens, neurons) = (layout.tokens, u64::from(layout.neurons));
    let most = tokens.min(neurons);
    if options.rank == 0 || u64::from(options.rank) > most {
        let expected = format!("a rank from 1 to min(tokens, neurons) = min({tokens}, {neurons}) = {most} is needed");
        return refuse("rank", &options.rank, expected);
    }
    if !(options.sparsity > 0.0 && options.sparsity <= 1.0) {
        return refuse("sparsity", &options.sparsity, "a share of the neurons above 0 and up to 1 is needed".into());
    }
    if !(options.relaxation >= 0.0 && options.relaxation < 1.0) {
        return refuse("relaxation", &options.relaxation, "a share of at least 0 and below 1 is needed".into());
    }
    for (option, value) in [("penalty", options.penalty), ("tolerance", options.tolerance), ("ridge", options.ridge)] {
        if !is_f32_of_at_least_zero(value) {
            return refuse(option, &value, AT_LEAST_ZERO.into());
        }
    }
    if options.sweeps > MOST_SWEEPS {
        return refuse("sweeps", &options.sweeps, format!("at most {MOST_SWEEPS} are possible in an iteration"));
    }
    for (option, value) in
        [("max_iterations", options.max_iterations), ("patience", options.patience), ("sweeps", options.sweeps)]
    {
        if value == 0 {
            return refuse(option, &value, "at least 1 is needed".into());
        }
    }
    Ok(())
}

/// Returns an error if the given start coefficients do not fit activations of this layout, or if they are missing although the fit starts
/// from given coefficients.
pub(crate) fn check_given(options: &Options, given: Option<&DenseMatrix>, layout: &PanelLayout) -> Result<(), Error> {
    let tokens = layout.tokens;
    match (options.init, given) {
        (Init::Given, None) => {
            refuse("init", &"given", "initial coefficients are needed: pass them with `init_coefficients`".into())
        }
        (Init::Given, Some(y)) => {
            if (y.rows as u64, y.columns as u64) != (tokens, options.rank.into())
                || y.values.len() != y.rows * y.columns
            {
                let expected = format!("{tokens} tokens × {} features are needed", options.rank);
                return refuse("init_coefficients", &format_args!("{} × {}", y.rows, y.columns), expected);
            }
            match y.values.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
                Some(at) => {
                    let place = format!("{} at token {}, feature {}", y.values[at], at / y.columns, at % y.columns);
                    refuse("init_coefficients", &place, "finite values of at least 0 are needed".into())
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
