//! Direct3D 12, which compiles shaders with one of two compilers.

/// What to say of an adapter whose shaders go to FXC, Direct3D's old compiler, because there is no `dxcompiler.dll`. wgpu
/// takes the newer compiler where that library is, or where the feature `static-dxc` has linked it, and only then offers subgroups.
pub(super) fn advice(info: &wgpu::AdapterInfo, offered: wgpu::Features) -> Option<String> {
    let has_old_compiler = info.backend == wgpu::Backend::Dx12 && !offered.contains(wgpu::Features::SUBGROUP);
    has_old_compiler.then(|| {
        format!(
            "{}: Direct3D 12 compiles with FXC, which takes many seconds for the largest kernels; put Microsoft's dxcompiler.dll \
             (1.8.2502 or later) beside the program or on the path, or build unmix with `--features static-dxc`, and the first \
             iteration comes sooner",
            info.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn only_direct3d_without_its_newer_compiler_is_advised() {
        let info = |backend| wgpu::AdapterInfo {
            name: "GeForce".to_owned(),
            ..wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, backend)
        };
        let none = wgpu::Features::empty();
        let words = advice(&info(wgpu::Backend::Dx12), none).unwrap();
        assert!(
            words.starts_with("GeForce: ") && words.contains("dxcompiler.dll") && words.contains("static-dxc"),
            "{words}"
        );
        assert_eq!(advice(&info(wgpu::Backend::Dx12), wgpu::Features::SUBGROUP), None);
        assert_eq!(advice(&info(wgpu::Backend::Vulkan), none), None);
    }
}
