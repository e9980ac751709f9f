//! unmix inside a program that has its own GPU device: the activations are in a buffer of that program already, and stay
//! there.
//!
//! `cargo run --release -p unmix --example embed_wgpu`

use std::error::Error;

use unmix::{ElementType, SemiNmf, WgpuEngine};
use wgpu::util::{BufferInitDescriptor, DeviceExt};

const TOKENS: u64 = 400;
const NEURONS: u32 = 96;

fn main() -> Result<(), Box<dyn Error>> {
    // What the embedding program has: a device, a queue, and a buffer with activations.
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let buffer = device.create_buffer_init(&BufferInitDescriptor {
        label: Some("my activations"),
        contents: bytemuck::cast_slice(&three_features_and_noise()),
        usage: wgpu::BufferUsages::STORAGE,
    });

    // unmix on that device: nothing is copied to the host but the factors.
    let engine = WgpuEngine::from_device(device, queue)?;
    let activations = engine.activations_from_buffer(buffer, 0, TOKENS, NEURONS, ElementType::F32, NEURONS)?;
    let fit = SemiNmf::new(3).sparsity(0.1).seed(3).fit(&engine, &activations)?;

    println!("{} tokens x {NEURONS} neurons on {}", TOKENS, fit.summary.adapter);
    println!("relative error {:.4} after {} iterations", fit.summary.relative_error, fit.summary.iterations);
    for (k, statistics) in fit.summary.feature_statistics.iter().enumerate() {
        println!(
            "feature {k}: {} neurons, {:.1}% of the energy",
            statistics.nonzeros,
            100.0 * statistics.explained_share
        );
    }
    Ok(())
}

/// Each token uses one of three features, each of ten neurons.
fn three_features_and_noise() -> Vec<f32> {
    let entry = |token: u64, neuron: u32| {
        let strength = 1.0 + (token * 7 % 5) as f32;
        let noise = ((token * 31 + u64::from(neuron) * 17) % 13) as f32 / 13.0 - 0.5;
        let uses = u64::from(neuron / 10) == token % 3;
        0.1 * noise + if uses { if neuron.is_multiple_of(2) { strength } else { -strength } } else { 0.0 }
    };
    (0..TOKENS).flat_map(|token| (0..NEURONS).map(move |neuron| entry(token, neuron))).collect()
}
