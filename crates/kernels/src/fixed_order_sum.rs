//! Sums partial results in a fixed order, so that a run repeats to the bit.

use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, Recording, Resource, Variant,
    workgroups,
};

/// The kernel's metadata.
pub static FIXED_ORDER_SUM: Kernel = Kernel {
    name: "fixed_order_sum",
    access: &[Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: &[Variant { features: &["single"], ..Variant::PORTABLE }],
    twin: CpuTwin::Alone(twin),
};

/// The metadata of the kernel for two sums.
pub static FIXED_ORDER_SUM_PAIR: Kernel = Kernel {
    name: "fixed_order_sum_pair",
    access: &[Access::Read, Access::ReadWrite, Access::Read, Access::ReadWrite],
    params_size: size_of::<[Params; 2]>(),
    variants: &[Variant { shader: Some("fixed_order_sum"), features: &["pair"], ..Variant::PORTABLE }],
    twin: CpuTwin::Alone(twin_of_two),
    ..FIXED_ORDER_SUM
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    parts: u32,
    accumulate: u32,
}

/// A sum of which only the parts are there: `parts` matrices of the size of `out`, one after the other in `partials`.
#[derive(Clone, Copy, Debug)]
pub struct PendingSum {
    /// The parts.
    pub partials: BufferId,
    /// Number of parts.
    pub parts: u32,
    /// Where the sum goes.
    pub out: Matrix,
    /// Whether it is added to what is there.
    pub accumulate: bool,
}

impl PendingSum {
    fn vectors(&self) -> u64 {
        self.out.elements() / 4
    }

    fn params(&self) -> Params {
        Params { count: self.vectors() as u32, parts: self.parts, accumulate: self.accumulate.into() }
    }

    fn moved(&self) -> [Moved; 2] {
        [Moved::read(u64::from(self.parts) * self.out.bytes()), Moved::summed(self.out.bytes(), self.accumulate)]
    }

    fn flops(&self) -> u64 {
        u64::from(self.parts) * self.out.elements()
    }
}

/// Records `out` (+)= the sum of its parts, from first to last.
pub fn fixed_order_sum(recording: &mut Recording, sum: PendingSum) {
    record(recording, &FIXED_ORDER_SUM, &sum.params(), &[sum]);
}

/// Records several sums, two at a time. They share no memory.
pub fn fixed_order_sums(recording: &mut Recording, sums: &[PendingSum]) {
    for sums in sums.chunks(2) {
        match *sums {
            [first, second] => record(recording, &FIXED_ORDER_SUM_PAIR, &[first.params(), second.params()], sums),
            _ => record(recording, &FIXED_ORDER_SUM, &sums[0].params(), sums),
        }
    }
}

fn record(recording: &mut Recording, kernel: &'static Kernel, params: &impl bytemuck::Pod, sums: &[PendingSum]) {
    let bindings: Vec<Resource> = sums.iter().flat_map(|sum| [sum.partials.into(), sum.out.resource]).collect();
    let vectors: u64 = sums.iter().map(PendingSum::vectors).sum();
    recording.dispatch(
        kernel,
        ElementType::F32,
        params,
        &bindings,
        [workgroups(vectors.div_ceil(256)), 1, 1],
        Cost {
            moved: sums.iter().flat_map(PendingSum::moved).collect(),
            flops: sums.iter().map(PendingSum::flops).sum(),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    add_up(&call.params(), bindings);
}

fn twin_of_two(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let params: [Params; 2] = call.params();
    params.iter().zip(bindings.chunks_exact_mut(2)).for_each(|(p, bindings)| add_up(p, bindings));
}

fn add_up(p: &Params, bindings: &mut [Memory<'_>]) {
    let [partials, out] = bindings else { unreachable!() };
    let count = p.count as usize * 4;
    let partials = partials.read::<f32>();
    out.write::<f32>()[..count].par_iter_mut().with_min_len(1 << 14).enumerate().for_each(|(i, out)| {
        let start = if p.accumulate != 0 { *out } else { 0.0 };
        *out = (0..p.parts as usize).fold(start, |sum, part| sum + partials[part * count + i]);
    });
}
