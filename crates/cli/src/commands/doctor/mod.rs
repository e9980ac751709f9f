//! `unmix doctor`: which devices there are, and whether they compute correctly.

mod check;
mod examination;
mod problem;
mod reference;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use unmix::{AdapterChoice, AdapterSummary, CpuEngine, ElementType, Engine, WgpuEngine, adapters};
use unmix_runtime::missing_driver;

use self::check::{Check, Examined, Findings, References, TOLERANCE};
use self::examination::{Trouble, examine};
use crate::engine::{EngineArgs, EngineOption};
use crate::failure::Failure;
use crate::output::{self, Style, Table, bytes, duration};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;

/// List devices, and check that each computes correctly
///
/// Fits two problems on the CPU engine and on every adapter, the larger one with each variant of the kernels that unmix
/// may choose there. The results are compared with a plain reference in double precision. This shows drivers that give
/// wrong results without an error. --engine and --adapter limit what is checked.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  unmix doctor --require gpu")]
pub struct DoctorArgs {
    /// Exit with code 3 unless such a device passes (a software renderer counts, and is named as one)
    #[arg(long, value_enum, value_name = "WHAT")]
    pub require: Option<Requirement>,

    /// Most seconds for each device, after which it counts as failed
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub time_limit: u64,
}

/// What must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Requirement {
    /// A wgpu adapter that passes the check
    Gpu,
}

/// An engine and how it did.
struct Verdict {
    engine: &'static str,
    name: String,
    adapter: Option<AdapterSummary>,
    outcome: Result<Findings, Trouble>,
}

impl Verdict {
    fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|findings| findings.checks.iter().all(Check::passed))
    }

    fn is_late(&self) -> bool {
        self.outcome.as_ref().is_err_and(|trouble| trouble.is_late)
    }

    fn is_software(&self) -> bool {
        self.adapter.as_ref().is_some_and(|adapter| adapter.is_software)
    }
}

/// Runs the command.
pub fn run(args: &DoctorArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    refuse_contradictions(args, &shared.engine)?;
    let choice = AdapterChoice { name: shared.engine.adapter.clone(), ..Default::default() };
    let found = if shared.engine.engine == EngineOption::Cpu { Vec::new() } else { adapters(&choice) };
    let limit = Duration::from_secs(args.time_limit);
    reporter.stage("computing the references");
    let references = Arc::new(References::new()?);
    let mut verdicts = Vec::new();
    if shared.engine.engine != EngineOption::Gpu && shared.engine.adapter.is_none() {
        reporter.stage("checking the CPU engine");
        let engine = CpuEngine::new();
        let name = engine.adapter().to_owned();
        verdicts.push(Verdict {
            engine: "cpu",
            name,
            adapter: None,
            outcome: examine(&references, limit, || Ok(Examined::Cpu(Box::new(engine)))),
        });
    }
    for adapter in found {
        reporter.stage(&format!("checking {} ({})", adapter.name, adapter.backend));
        let choice = AdapterChoice { name: Some(adapter.number.to_string()), ..choice.clone() };
        let outcome = examine(&references, limit, move || Ok(Examined::Gpu(WgpuEngine::new(&choice)?)));
        verdicts.push(Verdict { engine: "gpu", name: adapter.name.clone(), adapter: Some(adapter), outcome });
    }
    if shared.json {
        output::print_json(&json!({
            "unmix_version": env!("CARGO_PKG_VERSION"),
            "tolerance": TOLERANCE,
            "engines": verdicts.iter().map(verdict_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let all_adapters = shared.engine.adapter.is_none() && shared.engine.engine != EngineOption::Cpu;
        output::print(&report(&verdicts, all_adapters, Style::stdout()))?;
    }
    judge(args, shared, &verdicts)
}

fn refuse_contradictions(args: &DoctorArgs, engine: &EngineArgs) -> Result<(), Failure> {
    if engine.engine != EngineOption::Cpu {
        return Ok(());
    }
    if args.require == Some(Requirement::Gpu) {
        return Err(Failure::Usage("--require gpu: contradicts --engine cpu; leave out one of them".to_owned()));
    }
    engine.refuse_adapter_of_cpu()
}

fn judge(args: &DoctorArgs, shared: &SharedArgs, verdicts: &[Verdict]) -> Result<(), Failure> {
    let gpus = || verdicts.iter().filter(|verdict| verdict.engine == "gpu");
    if args.require == Some(Requirement::Gpu) {
        match gpus().find(|verdict| verdict.passed()) {
            None => {
                let what = if gpus().next().is_none() { "no adapter answers" } else { "no adapter passes the check" };
                return Err(Failure::NoDevice(format!(
                    "--require gpu: {what}; install or update a Vulkan, Metal or DirectX 12 driver"
                )));
            }
            Some(best) if best.is_software() => {
                log::warn!("the requirement is met by {}, a software renderer; there is no GPU in hardware", best.name);
            }
            Some(_) => {}
        }
    }
    if verdicts.is_empty() {
        let wanted = shared
            .engine
            .adapter
            .as_ref()
            .map(|name| format!(" of name, number or address {name:?}"))
            .unwrap_or_default();
        return Err(Failure::NoDevice(format!("no adapter{wanted} answers; `unmix doctor` without options lists all")));
    }
    let names = |late: bool| -> Vec<&str> {
        let wanted = |verdict: &&Verdict| !verdict.passed() && verdict.is_late() == late;
        verdicts.iter().filter(wanted).map(|verdict| verdict.name.as_str()).collect()
    };
    let (wrong, late) = (names(false), names(true));
    // If the requirement is met, a broken second device appears in the table, but is no failure.
    if args.require.is_some() || wrong.len() + late.len() == 0 {
        return Ok(());
    }
    if wrong.is_empty() {
        let late = late.join(" and ");
        return Err(Failure::Check(format!(
            "{late} did not end the checks in time; give more time with --time-limit, or compute with --engine cpu"
        )));
    }
    let them = if wrong.len() == 1 { "it" } else { "them" };
    Err(Failure::Check(format!(
        "{} failed the check; do not compute on {them}, update the driver, or report this output",
        wrong.join(" and ")
    )))
}

fn verdict_json(verdict: &Verdict) -> Value {
    let mut value = json!({"engine": verdict.engine, "name": verdict.name, "passed": verdict.passed()});
    match &verdict.outcome {
        Ok(findings) => {
            value["checks"] = findings.checks.iter().map(Check::json).collect();
            let of = |(element, variant): &(ElementType, &str)| json!({"element": element.name(), "variant": variant});
            value["cross_products"] = findings.cross_products.iter().map(of).collect();
        }
        Err(trouble) => value["error"] = json!(trouble.reason),
    }
    if let Some(adapter) = &verdict.adapter {
        value["adapter"] = json!({
            "number": adapter.number,
            "pci_address": adapter.pci_address,
            "backend": adapter.backend.to_string(),
            "type": kind(adapter),
            "vendor": adapter.vendor_name(),
            "driver": adapter.driver,
            "driver_info": adapter.driver_info,
            "software": adapter.is_software,
            "max_buffer_bytes": adapter.max_buffer_bytes,
            "max_binding_bytes": adapter.max_binding_bytes,
            "workgroup_bytes": adapter.workgroup_bytes,
            "max_invocations": adapter.max_invocations,
            "max_storage_buffers": adapter.max_storage_buffers,
            "max_workgroups": adapter.max_workgroups,
            "subgroup_sizes": [adapter.subgroup_sizes.0, adapter.subgroup_sizes.1],
            "shader_f16": adapter.shader_f16,
            "subgroups": adapter.subgroups,
            "cooperative_matrix": adapter.cooperative_matrix,
            "timestamps": adapter.timestamps,
        });
    }
    value
}

fn kind(adapter: &AdapterSummary) -> String {
    match adapter.is_software {
        true => "software".to_owned(),
        false => format!("{:?}", adapter.device_type).to_lowercase().replace("gpu", " GPU"),
    }
}

fn report(verdicts: &[Verdict], all_adapters: bool, style: Style) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let what = match &verdict.adapter {
            None => "engine cpu".to_owned(),
            Some(adapter) => format!("engine gpu, {}, {}", adapter.backend, kind(adapter)),
        };
        text.push_str(&format!("{} ({what})\n", style.strong(&verdict.name)));
        let mut facts = Table::new(&["", ""]);
        if let Some(adapter) = &verdict.adapter {
            describe(adapter, &mut facts);
        }
        match &verdict.outcome {
            Err(trouble) => {
                let what = if trouble.is_late { "UNKNOWN:" } else { "FAILED:" };
                facts.row(vec!["  check".to_owned(), format!("{} {}", style.error(what), trouble.reason)]);
            }
            Ok(Findings { checks, cross_products }) => {
                let words: Vec<String> =
                    cross_products.iter().map(|(element, variant)| format!("{variant} on {element}")).collect();
                if !words.is_empty() {
                    facts.row(vec!["  cross product".to_owned(), words.join(", ")]);
                }
                for check in checks {
                    let verdict = if check.passed() { style.good("ok") } else { style.error("FAILED") };
                    facts.row(vec![
                        format!("  {}", check.name),
                        format!(
                            "{verdict}, off by {:.1e} at most (allowed {:.0e}), {}",
                            check.deviation(),
                            check.allowed,
                            duration(check.seconds)
                        ),
                    ]);
                }
            }
        }
        text.push_str(&facts.render(style));
        text.push('\n');
    }
    if !verdicts.iter().any(|verdict| verdict.adapter.is_some()) {
        text.push_str("No GPU adapter was checked.\n");
    }
    let found: Vec<AdapterSummary> = verdicts.iter().filter_map(|verdict| verdict.adapter.clone()).collect();
    if let Some(reason) = missing_driver(&found).filter(|_| all_adapters) {
        text.push_str(&format!("{reason}.\n"));
    }
    text
}

fn describe(adapter: &AdapterSummary, facts: &mut Table) {
    let mut fact = |name: &str, text: String| facts.row(vec![format!("  {name}"), text]);
    let address = if adapter.pci_address.is_empty() { String::new() } else { format!(", PCI {}", adapter.pci_address) };
    fact("number", format!("{}{address}", adapter.number));
    fact("driver", format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned());
    fact("vendor", adapter.vendor_name());
    fact(
        "buffers",
        format!(
            "up to {}, bound up to {}, {} in a kernel",
            bytes(adapter.max_buffer_bytes),
            bytes(adapter.max_binding_bytes),
            adapter.max_storage_buffers
        ),
    );
    fact(
        "workgroups",
        format!(
            "up to {} invocations, {} of memory, {} in a dimension",
            adapter.max_invocations,
            bytes(adapter.workgroup_bytes.into()),
            adapter.max_workgroups
        ),
    );
    let (least, most) = adapter.subgroup_sizes;
    let sizes = if least == most { format!("{least}") } else { format!("{least} to {most}") };
    let subgroups = if adapter.subgroups { format!("subgroups of {sizes}") } else { "no subgroups".to_owned() };
    let has = |yes: bool, what: &str| if yes { what.to_owned() } else { format!("no {what}") };
    fact(
        "features",
        [
            subgroups,
            has(adapter.shader_f16, "f16 arithmetic"),
            has(adapter.cooperative_matrix, "cooperative matrices"),
            has(adapter.timestamps, "timestamps"),
        ]
        .join(", "),
    );
}
