//! `unmix inspect`: what files of activations hold.

use clap::Args;
use serde_json::json;
use unmix::{ActivationSource, Engine, SemiNmf};
use unmix_data::{InspectedFile, Inspection};
use unmix_fitting::{FitInput, Planned, check_rank, plan};

use crate::activation_args::{ActivationArgs, left_out};
use crate::commands::fit::memory_words;
use crate::failure::Failure;
use crate::memory_args::MemoryArgs;
use crate::output::{self, Style, Table, bytes, percent, thousands};
use crate::shared_args::SharedArgs;

/// Look at activations before a fit
///
/// Shows the tensors of a safetensors or npy file, or the list of files if there are several. Of the activations it
/// shows how their numbers are spread: signs, norms, outliers, values that are not finite. It also shows the memory
/// that a fit would take.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  unmix inspect activations.safetensors --tensor layer12 --rank 400\n  unmix inspect shards/"
)]
pub struct InspectArgs {
    #[command(flatten)]
    pub activations: ActivationArgs,

    /// Number of features for which the memory of a fit is estimated [default: 100, or as many as there are tokens and
    /// neurons]
    #[arg(long, short = 'k', value_name = "K")]
    pub rank: Option<u32>,

    #[command(flatten)]
    pub memory: MemoryArgs,
}

/// The rank of the estimate if none is given and the activations have that many tokens and neurons.
const RANK: u32 = 100;

/// Runs the command.
pub fn run(args: &InspectArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let file = args.activations.open()?;
    let input = FitInput::Files(file.clone());
    if let Some(rank) = args.rank {
        check_rank(rank, &input)?;
    }
    let rank = args.rank.unwrap_or_else(|| file.tokens().min(file.neurons()).min(RANK.into()) as u32);
    let engine = shared.engine.device()?.open()?.engine;
    let planned =
        match plan(&SemiNmf::new(rank), engine.as_ref(), &input, &args.memory.allowance()).map_err(Failure::from) {
            Ok(planned) => Ok(planned),
            Err(Failure::Memory(problem)) => Err(problem),
            Err(other) => return Err(other),
        };
    let look = unmix_data::inspect(&file)?;
    if shared.json {
        let mut value = serde_json::to_value(&look).map_err(|error| Failure::Output(error.into()))?;
        value["memory_of_a_fit"] = match &planned {
            Ok(planned) => json!({
                "rank": rank,
                "engine": engine.kind().name(),
                "activations": if planned.is_streamed() { "streamed" } else { "resident" },
                "activations_bytes": planned.plan.activations_bytes,
                "host_bytes": planned.host_bytes(),
                "device_bytes": planned.device_bytes(),
            }),
            Err(problem) => json!({ "rank": rank, "engine": engine.kind().name(), "problem": problem }),
        };
        return output::print_json(&value);
    }
    let memory = match planned {
        Ok(planned) => memory_of_a_fit(rank, engine.as_ref(), &planned),
        Err(problem) => Style::stdout().error(&problem),
    };
    output::print(&report(&look, input.bytes(), memory, Style::stdout()))
}

/// What a fit does with the activations, and how much memory it takes.
fn memory_of_a_fit(rank: u32, engine: &dyn Engine, planned: &Planned) -> String {
    let how = if planned.is_streamed() { "streamed" } else { "resident" };
    let here = bytes(planned.plan.activations_bytes);
    let kind = engine.kind().name();
    format!(
        "about {} at --rank {rank} on the {kind} engine; activations are {how}, {here} of them at once",
        memory_words(planned)
    )
}

fn report(look: &Inspection, activations: u64, memory: String, style: Style) -> String {
    let mut facts = Table::new(&["", ""]);
    let mut fact = |name: &str, text: String| facts.row(vec![name.to_owned(), text]);
    let first = &look.files[0];
    let order = if look.files.iter().any(|file| file.fortran_order) { ", column after column" } else { "" };
    fact(
        "size",
        format!(
            "{} tokens × {} neurons of {}{order}, {}{}",
            thousands(look.tokens),
            thousands(look.neurons),
            first.stored_dtype,
            bytes(look.stored_bytes),
            if look.stored_bytes == activations || look.tokens < look.stored_tokens {
                String::new()
            } else {
                format!(" ({} in memory, as {})", bytes(activations), look.element)
            }
        ),
    );
    if let Some(told) = left_out(&look.left_out, look.stored_tokens) {
        fact("left out", told);
    }
    fact("signs", format!("{} negative, {} zero", percent(look.negative_share), percent(look.zero_share)));
    let norms = &look.token_norms;
    fact(
        "norms of tokens",
        format!(
            "{} to {}, median {}, mean {}",
            number(norms.min),
            number(norms.max),
            number(norms.median),
            number(norms.mean)
        ),
    );
    let range = if look.non_finite.count > 0 {
        "f16 cannot be judged while values are not finite"
    } else if look.fits_f16 {
        "f16 holds them all"
    } else {
        "too large for f16 (±65,504)"
    };
    fact("largest |x|", format!("{}; {range}", number(look.max_abs)));
    let verdict = match look.non_finite.first {
        None => style.good("none"),
        Some((token, neuron)) => style.error(&format!(
            "{}, the first at token {token}, neuron {neuron}; a fit needs finite values, so leave out such tokens",
            thousands(look.non_finite.count)
        )),
    };
    fact("NaN or infinite", verdict);
    let outliers: Vec<String> =
        look.outlier_neurons.iter().map(|outlier| format!("{} ({})", outlier.index, percent(outlier.share))).collect();
    fact("neurons of most energy", outliers.join(", "));
    let strongest = look.strongest_token;
    let warning =
        if strongest.share > 0.05 { "; one feature will be spent on it, so consider leaving it out" } else { "" };
    fact("token of most energy", format!("{} ({}){warning}", strongest.index, percent(strongest.share)));
    if let Some(warning) = look.outlier_tokens.warning() {
        fact("tokens of large norm", style.error(&warning));
    }
    let columns = if look.token_columns.is_empty() {
        "none (token_ids, prompt_ids and positions would be kept with a fit)".to_owned()
    } else {
        look.token_columns.join(", ")
    };
    fact("columns of tokens", columns);
    fact("memory of a fit", memory);
    format!("{}\n{}", files(look, style), facts.render(style))
}

/// The files, and the tensors that they hold.
fn files(look: &Inspection, style: Style) -> String {
    if let [only] = look.files.as_slice() {
        let place = style.strong(&only.path.display().to_string());
        return format!("{place} ({})\n\n{}", only.format, tensors(only, look).render(style));
    }
    let mut table = Table::new(&["file", ">tokens", ">size", "tensor"]);
    for file in &look.files {
        let tensor = file.tensor.clone().unwrap_or_else(|| "(the array)".to_owned());
        let path = file.path.display().to_string();
        table.row(vec![
            path,
            thousands(file.tokens),
            bytes(file.stored_bytes),
            format!("{tensor} {}", file.stored_dtype),
        ]);
    }
    table.render(style)
}

/// The tensors of a file.
fn tensors(file: &InspectedFile, look: &Inspection) -> Table {
    let mut tensors = Table::new(&["tensor", "type", "shape", ""]);
    for tensor in &file.tensors {
        let shape = tensor.shape.iter().map(|&side| thousands(side)).collect::<Vec<_>>().join(" × ");
        let meant = Some(tensor.name.as_str()) == file.tensor.as_deref() || file.tensors.len() == 1;
        let is_column = |name: &str| look.token_columns.contains(&name);
        let role = match tensor.name.as_str() {
            _ if meant => "activations",
            name if is_column(name) => "one entry a token",
            "sequence_ids" if is_column("prompt_ids") => "one entry a token",
            "input_ids" | "position_ids" if file.batch.is_some() => "one entry a token",
            "attention_mask" | "mask" if file.batch.is_some() => "leaves out positions",
            _ => "",
        };
        let name = if tensor.name.is_empty() { "(the array)" } else { &tensor.name };
        tensors.row(vec![name.to_owned(), tensor.dtype.clone(), shape, role.to_owned()]);
    }
    tensors
}

/// A number with four digits. It is in scientific notation if it is very large or small.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if (-3..6).contains(&magnitude) {
        format!("{value:.*}", (3 - magnitude).clamp(0, 6) as usize)
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_four_digits() {
        let shown: Vec<_> = [0.0, 12.345_67, 0.012_345, 65_504.0, 1e20, 1e-9].map(number).into();
        assert_eq!(shown, ["0", "12.35", "0.01235", "65504", "1.000e20", "1.000e-9"]);
    }
}
