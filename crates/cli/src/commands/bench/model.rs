//! What the model of cycles says of the stages of an iteration.

use serde_json::{Value, json};
use unmix_kernels::{Device, Estimate, Machine, Recording, Stage, Traffic, Variant};

use super::words::short;
use crate::failure::Failure;
use crate::output::{self, Style, Table, percent};

/// The estimates of all stages.
pub struct Model(Vec<Estimate>);

impl Model {
    /// Refuses a device of which only bandwidth and peak are known.
    pub fn of(device: &Device, stages: &[Stage], recording: &Recording, traffic: &[Traffic]) -> Result<Model, Failure> {
        let Some(machine) = Machine::of(device) else {
            return Err(Failure::Usage(format!(
                "--model needs a device that unmix knows by name, such as --roofline h100; of {} it knows bandwidth and peak alone",
                device.name
            )));
        };
        Ok(Model(machine.of_stages(device, stages, &recording.commands, traffic)))
    }

    fn seconds(&self) -> f64 {
        self.0.iter().map(Estimate::seconds).sum()
    }

    /// Adds the estimates to the JSON of a roofline.
    pub fn add_to(&self, value: &mut Value) {
        let stages = self.0.iter().map(|estimate| {
            json!({
                "seconds": estimate.seconds(),
                "launch_seconds": estimate.launch,
                "memory_seconds": estimate.memory,
                "sectors_seconds": estimate.sectors,
                "compute_seconds": estimate.compute,
                "chain_seconds": estimate.chain,
                "workgroups": estimate.workgroups,
                "variant": estimate.variant,
            })
        });
        value["model"] = json!({ "stages": stages.collect::<Vec<_>>(), "seconds": self.seconds() });
    }

    /// Prints the estimates beside the roofline.
    pub fn print(&self, stages: &[Stage], roofline: f64, style: Style) -> Result<(), Failure> {
        let headings = [
            "kernel",
            "variant",
            "writes",
            ">launches",
            ">workgroups",
            ">launch",
            ">memory",
            ">sectors",
            ">compute",
            ">chain",
            ">time",
            ">share",
            ">roofline",
        ];
        let whole = self.seconds();
        let mut table = Table::new(&headings);
        for (stage, estimate) in stages.iter().zip(&self.0) {
            table.row(vec![
                stage.kernel.to_owned(),
                estimate.variant.filter(|name| *name != Variant::PORTABLE.name).unwrap_or_default().to_owned(),
                stage.writes.clone(),
                stage.commands.len().to_string(),
                estimate.workgroups.to_string(),
                short(estimate.launch),
                short(estimate.memory),
                short(estimate.sectors),
                short(estimate.compute),
                short(estimate.chain),
                short(estimate.seconds()),
                percent(estimate.seconds() / whole),
                short(stage.seconds),
            ]);
        }
        let launches: usize = stages.iter().map(|stage| stage.commands.len()).sum();
        output::print(&format!(
            "\nBy the model of cycles, with the variants that unmix would choose there:\n\n{}\n{launches} launches take {} together, the roofline {}.\n",
            table.render(style),
            style.strong(&short(whole)),
            short(roofline),
        ))
    }
}
