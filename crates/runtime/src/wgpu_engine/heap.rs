//! How much memory a device has. wgpu does not tell; the graphics interface below it does.

use crate::DeviceMemory;

/// Whose memory a device computes in.
pub(super) fn device_memory(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> DeviceMemory {
    match info.device_type {
        wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu => DeviceMemory::OfHost,
        _ => DeviceMemory::Own(largest_heap(device)),
    }
}

/// Bytes of the largest heap that is the device's own.
#[cfg(any(target_os = "linux", target_os = "windows"))]
fn largest_heap(device: &wgpu::Device) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the device is only looked at, and nothing of it is destroyed.
    let vulkan = unsafe { device.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = vulkan.shared_instance().raw_instance();
    // SAFETY: the physical device is the instance's own.
    let properties = unsafe { instance.get_physical_device_memory_properties(vulkan.raw_physical_device()) };
    let heaps = &properties.memory_heaps[..properties.memory_heap_count as usize];
    heaps.iter().filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
}

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
fn largest_heap(_: &wgpu::Device) -> Option<u64> {
    None
}
