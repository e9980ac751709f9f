//! Measuring the activations before a fit: their scale and the norms of the tokens.

use std::ops::RangeInclusive;

use unmix_kernels::{MAXIMUM_PARTIALS, Recording, absolute_maximum, squared_norm};

use crate::Error;
use crate::allocation::{AllocatedFit, Allocation};
use crate::buffers::Buffers;
use crate::distribution::Distribution;
use crate::gather::Gather;
use crate::panels::Panel;
use crate::session_io::SessionIo;

/// Mean squares of the strongest token's activations with which all activations stay as they are: far from where squares overflow
/// or vanish.
const UNSCALED: RangeInclusive<f32> = 1e-4..=1e4;

/// Binary exponent up to which activations can be scaled after their products are summed.
const LARGEST_EXPONENT: f64 = 106.0;

/// What measuring finds of the activations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Power of two by which activations are multiplied, so that their squares neither over- nor underflow; mostly 1.
    pub scale: f32,
    /// ‖xᵢ‖² of the scaled activations, for the tokens of all ranks.
    pub token_energy: Vec<f32>,
    /// Σ ‖xᵢ‖² of the scaled activations.
    pub squared_norm: f64,
}

impl Measured {
    /// Measures the activations and leaves the norms in the buffers of each fit. That takes one pass over the activations, and two more
    /// where they need a scale. The first pass copies the samples that are read from copies, and the norms come with what is gathered.
    pub async fn of(
        io: &SessionIo,
        distribution: &Distribution,
        Allocation { fits, .. }: &Allocation,
        gathers: &[Gather<'_>],
    ) -> Result<Self, Error> {
        let AllocatedFit { panels, buffers, .. } = &fits[0];
        let gather = |r: &mut Recording, panel: &Panel, scale| {
            gathers.iter().for_each(|gather| gather.record(r, panel, scale));
        };
        let mut measured = norms(io, distribution, panels, buffers, 1.0, |r, panel| {
            if panel.is_first_part() {
                fits.iter().for_each(|fit| fit.samples.record_copies(r, panel.whole));
            }
            gather(r, panel, 1.0);
        })
        .await?;
        if !measured.needs_no_scale(panels) {
            let scale = scale(io, distribution, panels, buffers).await?;
            measured = norms(io, distribution, panels, buffers, scale, |r, panel| gather(r, panel, scale)).await?;
        }
        for AllocatedFit { panels, buffers, .. } in fits {
            measured.write_norms(io, panels, buffers)?;
        }
        Ok(measured)
    }

    /// Reads the norms of the activations times `scale` from the buffers, and gets those of the other ranks.
    pub async fn in_buffers(
        io: &SessionIo,
        distribution: &Distribution,
        panels: &[Panel],
        buffers: &Buffers,
        scale: f32,
    ) -> Result<Self, Error> {
        let mut token_energy = Vec::with_capacity(panels.iter().map(|panel| panel.rows() as usize).sum());
        for panel in panels {
            token_energy.extend(io.read::<f32>(buffers.squared_norms(panel), panel.rows().into()).await?);
        }
        let token_energy = distribution.communicator().joined(token_energy);
        let squared_norm = token_energy.iter().map(|&e| f64::from(e)).sum();
        Ok(Measured { scale, token_energy, squared_norm })
    }

    /// Writes ‖xᵢ‖² of the tokens of some panels, which may be those of a sample, to the buffers of a fit.
    pub fn write_norms(&self, io: &SessionIo, panels: &[Panel], buffers: &Buffers) -> Result<(), Error> {
        for panel in panels {
            let norms: Vec<f32> = panel.of_tokens(&self.token_energy).collect();
            io.write(buffers.squared_norms(panel), &norms)?;
        }
        Ok(())
    }

    fn needs_no_scale(&self, panels: &[Panel]) -> bool {
        let neurons = panels.first().map_or(1, |panel| panel.activations.columns);
        let largest = self.token_energy.iter().fold(0f32, |largest, &energy| largest.max(energy)) / neurons as f32;
        // NaN is lost in a maximum, but not in a sum.
        self.squared_norm.is_finite() && UNSCALED.contains(&largest)
    }
}

/// The norms of the activations times `scale`. `visit` records what else happens to a panel.
async fn norms(
    io: &SessionIo,
    distribution: &Distribution,
    panels: &[Panel],
    buffers: &Buffers,
    scale: f32,
    visit: impl Fn(&mut Recording, &Panel),
) -> Result<Measured, Error> {
    let mut recording = Recording::new();
    for panel in panels {
        squared_norm(&mut recording, panel.activations, buffers.squared_norms(panel), scale);
        visit(&mut recording, panel);
    }
    io.run_once(recording)?;
    Measured::in_buffers(io, distribution, panels, buffers, scale).await
}

/// The scale that takes the largest magnitude to between 1 and 2.
async fn scale(io: &SessionIo, distribution: &Distribution, panels: &[Panel], buffers: &Buffers) -> Result<f32, Error> {
    let mut recording = Recording::new();
    // Magnitudes are at least zero, so that panels may all add to a maximum of zero.
    recording.clear(buffers.maxima);
    for panel in panels {
        absolute_maximum(&mut recording, panel.activations, buffers.maxima, true);
    }
    io.run_once(recording)?;
    let maxima: Vec<u32> = io.read(buffers.maxima, u64::from(MAXIMUM_PARTIALS)).await?;
    let maxima = distribution.communicator().joined(maxima);
    let largest = f32::from_bits(maxima.into_iter().max().unwrap_or(0));
    if !largest.is_finite() {
        return Err(Error::NonFinite);
    }
    if largest == 0.0 {
        return Ok(1.0);
    }
    let exponent = f64::from(largest).log2().floor();
    if exponent.abs() > LARGEST_EXPONENT {
        return Err(Error::OutOfRange { largest });
    }
    Ok((-exponent).exp2() as f32)
}
