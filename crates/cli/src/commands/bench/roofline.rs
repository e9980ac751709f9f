//! The least time of an iteration on a device that need not be there.

use serde_json::{Value, json};
use unmix::{EngineLimits, PanelLayout};
use unmix_kernels::{Device, Stage, Traffic, stages};

use super::args::BenchArgs;
use super::model::Model;
use super::words::{panels, short};
use crate::failure::Failure;
use crate::output::{self, Style, Table, bytes, percent, thousands};
use crate::shared_args::SharedArgs;

/// Largest binding of desktop drivers through wgpu, which requires it to be below 2^31.
const BINDING_BYTES: u64 = (1 << 31) - 16;

/// Prints the stages of an iteration at the roofline of `device`.
pub fn run(args: &BenchArgs, device: &Device, shared: &SharedArgs) -> Result<(), Failure> {
    let limits = EngineLimits::of_gpu(BINDING_BYTES);
    let (neurons, element) = (args.size.neurons, args.element.element());
    let mut layout =
        PanelLayout::new(args.size.tokens.into(), neurons, element, limits.padded_rows, limits.panel_bytes);
    if let Some(rows) = args.panel_rows {
        layout = PanelLayout { panel_rows: rows.min(args.size.tokens), ..layout };
        if layout.panel(0).elements() * element.bytes() as u64 > BINDING_BYTES {
            return Err(Failure::Usage(format!(
                "--panel-rows {rows}: a panel would be {}, but a binding holds {} at most",
                bytes(layout.row_bytes() * u64::from(layout.panel_rows)),
                bytes(BINDING_BYTES)
            )));
        }
    }
    let iteration = args.fit().plan_iteration(&layout, &limits)?;
    let traffic = iteration.recording.steady_traffic(&iteration.workspace, device.cache_bytes);
    let stages = stages(&iteration.recording, &iteration.workspace, &traffic, device);
    let activations: u64 = traffic.iter().map(Traffic::activations_from_memory).sum();
    let size = u64::from(args.size.tokens) * u64::from(neurons) * element.bytes() as u64;
    let total = Total::of(&stages);
    let model = args.model.then(|| Model::of(device, &stages, &iteration.recording, &traffic)).transpose()?;
    if shared.json {
        let mut value = json!({
            "device": device_json(device),
            "tokens": args.size.tokens,
            "neurons": neurons,
            "rank": args.size.rank,
            "sparsity": args.sparsity(),
            "element": element.name(),
            "solver": args.solver.solver().name(),
            "panels": layout.panels(),
            "panel_rows": layout.panel_rows,
            "activations_bytes": size,
            "activations_bytes_from_memory": activations,
            "stages": stages.iter().map(stage_json).collect::<Vec<_>>(),
            "total": {
                "launches": total.launches,
                "bytes_from_memory": total.from_memory,
                "bytes_from_cache": total.from_cache,
                "bytes_to_memory": total.to_memory,
                "flops": total.flops,
                "seconds": total.seconds,
            },
        });
        if let Some(model) = &model {
            model.add_to(&mut value);
        }
        return output::print_json(&value);
    }
    let style = Style::stdout();
    let text = format!(
        "An iteration of {} on {} tokens × {} neurons ({element}, {}), {} features, in {} at the roofline of {}:\n\
         {:.0} GB/s, {:.1} TFLOP/s in f32, {:.1} TFLOP/s in products of f16 or bf16, {:.0} MB of cache.\n\n{}\n\
         The activations come from memory {:.2} times. Launches and bytes from cache are free here, so no run is faster.\n",
        args.solver.solver().name(),
        thousands(args.size.tokens.into()),
        thousands(neurons.into()),
        bytes(size),
        args.size.rank,
        panels(&layout),
        style.strong(&device.name),
        device.bandwidth / 1e9,
        device.peak / 1e12,
        device.product_peak / 1e12,
        device.cache_bytes as f64 / 1e6,
        table(&stages, &total).render(style),
        activations as f64 / size as f64,
    );
    output::print(&text)?;
    model.map_or(Ok(()), |model| model.print(&stages, total.seconds, style))
}

/// Sums over stages.
#[derive(Default)]
struct Total {
    launches: usize,
    from_memory: u64,
    from_cache: u64,
    to_memory: u64,
    flops: u64,
    seconds: f64,
}

impl Total {
    fn of(stages: &[Stage]) -> Total {
        stages.iter().fold(Total::default(), |sum, stage| Total {
            launches: sum.launches + stage.commands.len(),
            from_memory: sum.from_memory + stage.from_memory,
            from_cache: sum.from_cache + stage.from_cache,
            to_memory: sum.to_memory + stage.to_memory,
            flops: sum.flops + stage.flops,
            seconds: sum.seconds + stage.seconds,
        })
    }
}

fn table(stages: &[Stage], total: &Total) -> Table {
    let mut table = Table::new(&[
        "kernel",
        "writes",
        ">launches",
        ">from memory",
        ">from cache",
        ">to memory",
        ">GFLOP",
        ">time",
        ">share",
        "bound",
    ]);
    for stage in stages {
        table.row(vec![
            stage.kernel.to_owned(),
            stage.writes.clone(),
            stage.commands.len().to_string(),
            bytes(stage.from_memory),
            bytes(stage.from_cache),
            bytes(stage.to_memory),
            format!("{:.2}", stage.flops as f64 / 1e9),
            short(stage.seconds),
            percent(if total.seconds > 0.0 { stage.seconds / total.seconds } else { 0.0 }),
            stage.bound.name().to_owned(),
        ]);
    }
    table.row(vec![
        "total".to_owned(),
        String::new(),
        total.launches.to_string(),
        bytes(total.from_memory),
        bytes(total.from_cache),
        bytes(total.to_memory),
        format!("{:.2}", total.flops as f64 / 1e9),
        short(total.seconds),
        percent(1.0),
        String::new(),
    ]);
    table
}

/// A device as JSON.
pub fn device_json(device: &Device) -> Value {
    json!({
        "name": device.name,
        "bandwidth_bytes_per_second": device.bandwidth,
        "peak_flops_per_second": device.peak,
        "product_peak_flops_per_second": device.product_peak,
        "cache_bytes": device.cache_bytes,
    })
}

/// A stage as JSON.
pub fn stage_json(stage: &Stage) -> Value {
    json!({
        "kernel": stage.kernel,
        "writes": stage.writes,
        "launches": stage.commands.len(),
        "bytes_from_memory": stage.from_memory,
        "bytes_from_cache": stage.from_cache,
        "bytes_to_memory": stage.to_memory,
        "flops": stage.flops,
        "seconds": stage.seconds,
        "bound": stage.bound.name(),
    })
}
