//! What a kernel is, as plain data: the same for the WGSL shader, its Rust wrapper and its CPU twin.

use crate::{ElementType, Promise, Variant};

/// How a kernel uses a storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// Metadata of a compute kernel. In the shader, storage binding `i` of group 0 is `access[i]`, and the parameter struct
/// is a uniform at binding `access.len()`. The entry point is called `main`.
#[derive(Debug)]
pub struct Kernel {
    /// Name of the kernel, of its shader file, of its Rust module and of its wrapper.
    pub name: &'static str,
    /// Storage bindings.
    pub access: &'static [Access],
    /// Size of the parameter struct in bytes.
    pub params_size: usize,
    /// Whether binding 0 holds elements of an [`ElementType`], so that the kernel is compiled for each.
    pub reads_elements: bool,
    /// The ways in which it can be compiled, with the preferred one first. For each element type, at least one of them
    /// needs nothing beyond WebGPU's default limits.
    pub variants: &'static [Variant],
    /// The same computation on the CPU.
    pub twin: CpuTwin,
}

/// How a kernel's twin on the CPU takes dispatches.
#[derive(Clone, Copy, Debug)]
pub enum CpuTwin {
    /// One at a time.
    Alone(fn(call: &Call<'_>, bindings: &mut [Memory<'_>])),
    /// Several at a time, so that they share the work that they have in common, such as decoding the same activations. None of them reads or
    /// writes what another one writes. Each has the bits that it would have alone.
    Together(fn(dispatches: &mut [BoundDispatch<'_>])),
}

impl CpuTwin {
    /// Computes dispatches, none of which reads or writes what another one writes.
    pub fn run(self, dispatches: &mut [BoundDispatch<'_>]) {
        match self {
            CpuTwin::Alone(twin) => {
                for BoundDispatch { call, bindings } in dispatches {
                    twin(call, bindings);
                }
            }
            CpuTwin::Together(twin) => twin(dispatches),
        }
    }
}

/// A dispatch as a CPU twin sees it.
pub struct BoundDispatch<'a> {
    /// What the twin gets besides the bindings.
    pub call: Call<'a>,
    /// The storage bindings.
    pub bindings: Vec<Memory<'a>>,
}

/// What a CPU twin gets besides its bindings.
pub struct Call<'a> {
    /// The kernel's parameter struct as bytes.
    pub params: &'a [u8],
    /// Storage type of the operand at binding 0 if the kernel reads elements, or else f32.
    pub element: ElementType,
    /// What the dispatch promises.
    pub promise: Promise,
}

impl Call<'_> {
    /// The parameter struct.
    ///
    /// # Panics
    /// If it is of another size.
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Kernel {
    /// The storage types for which the kernel is compiled.
    pub fn elements(&self) -> &'static [ElementType] {
        if self.reads_elements { &ElementType::ALL } else { &[ElementType::F32] }
    }

    /// The variants that read `element`, with the preferred one first.
    pub fn variants_for(&self, element: ElementType) -> impl Iterator<Item = &'static Variant> {
        self.variants.iter().filter(move |variant| variant.elements.contains(&element))
    }
}

/// A binding as a CPU twin sees it.
pub enum Memory<'a> {
    /// Read-only bytes.
    Read(&'a [u8]),
    /// Writable 32-bit words.
    Write(&'a mut [u32]),
}

impl Memory<'_> {
    /// The raw bytes of a read-only binding.
    ///
    /// # Panics
    /// If the binding is writable.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Memory::Read(bytes) => bytes,
            Memory::Write(_) => panic!("a kernel reads a binding that it declared as writable"),
        }
    }

    /// A read-only binding as numbers.
    ///
    /// # Panics
    /// If the binding is writable or misaligned.
    pub fn read<T: bytemuck::AnyBitPattern>(&self) -> &[T] {
        bytemuck::cast_slice(self.bytes())
    }

    /// A writable binding as numbers.
    ///
    /// # Panics
    /// If the binding is read-only.
    pub fn write<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&mut self) -> &mut [T] {
        match self {
            Memory::Write(words) => bytemuck::cast_slice_mut(words),
            Memory::Read(_) => panic!("a kernel writes a binding that it declared as read-only"),
        }
    }
}
