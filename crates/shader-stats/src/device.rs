//! A Vulkan device that compiles but cannot run, for a chip that need not be there.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::CStr;

use ash::{Entry, khr, vk};
use serde::{Deserialize, Serialize};

use crate::translate::Shader;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the driver reports about a compiled shader.
#[derive(Serialize, Deserialize)]
pub struct Compiled {
    /// Its statistics by name, such as `VGPRs`.
    pub statistics: BTreeMap<String, u64>,
    /// Threads in a subgroup.
    pub subgroup_size: u32,
    /// Threads of a workgroup.
    pub workgroup_threads: u32,
    /// Bytes of workgroup memory of a workgroup.
    pub workgroup_bytes: u32,
    /// The assembly as text, if the driver shows it.
    pub assembly: Option<String>,
}

/// The device, with everything that must live as long as it does.
pub struct Device {
    /// Names of the device and of the driver.
    pub name: String,
    executables: khr::pipeline_executable_properties::Device,
    device: ash::Device,
    instance: ash::Instance,
    _entry: Entry,
}

impl Device {
    /// Opens the device whose name contains `part`, in lower case. This program was started so that there is one.
    pub fn open(part: &str) -> Result<Self> {
        // SAFETY: the loader is a Vulkan loader, and every handle below comes from it and lives as long as `Self`. The
        // structs chained by `push_next` outlive the calls they are passed to.
        unsafe {
            let entry = Entry::load()?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance =
                entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&application), None)?;
            let mut found = Vec::new();
            for adapter in instance.enumerate_physical_devices()? {
                let mut driver = vk::PhysicalDeviceDriverProperties::default();
                let mut all = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
                instance.get_physical_device_properties2(adapter, &mut all);
                let name = text(all.properties.device_name_as_c_str()?);
                let info = text(driver.driver_info_as_c_str()?);
                if name.to_lowercase().contains(part) {
                    let device = open_adapter(&instance, adapter)?;
                    let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
                    return Ok(Self { name: format!("{name}, {info}"), executables, device, instance, _entry: entry });
                }
                found.push(name);
            }
            instance.destroy_instance(None);
            let found = if found.is_empty() { "no device".to_owned() } else { found.join(", ") };
            Err(format!("the driver offers {found}, not {part}").into())
        }
    }

    /// Compiles the entry point `main` of plain WGSL as the GPU engine does: without run-time checks, and with the
    /// subgroup size that the shader is made for, if it is made for a certain size.
    pub fn compile(&self, wgsl: &str, subgroup_size: Option<u32>) -> Result<Compiled> {
        let shader = Shader::parse(wgsl)?;
        let bindings: Vec<_> = shader
            .bindings()
            .map(|(binding, is_uniform)| {
                let kind =
                    if is_uniform { vk::DescriptorType::UNIFORM_BUFFER } else { vk::DescriptorType::STORAGE_BUFFER };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        self.pipeline(&shader, &bindings, subgroup_size)
    }

    fn pipeline(
        &self,
        shader: &Shader,
        bindings: &[vk::DescriptorSetLayoutBinding<'_>],
        subgroup_size: Option<u32>,
    ) -> Result<Compiled> {
        let words = shader.spirv()?;
        let mut required = vk::PipelineShaderStageRequiredSubgroupSizeCreateInfo::default()
            .required_subgroup_size(subgroup_size.unwrap_or_default());
        // SAFETY: the words are SPIR-V that naga wrote for valid WGSL, and the layout has its bindings. All handles are
        // of this device and are destroyed once, after their last use.
        unsafe {
            let d = &self.device;
            let module = d.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None)?;
            let set =
                d.create_descriptor_set_layout(&vk::DescriptorSetLayoutCreateInfo::default().bindings(bindings), None)?;
            let layout =
                d.create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&[set]), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let stage = match subgroup_size {
                Some(_) => stage.push_next(&mut required),
                // wgpu allows every size, because the engine asks for subgroup operations.
                None => stage.flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE),
            };
            let info = vk::ComputePipelineCreateInfo::default().layout(layout).stage(stage).flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            );
            let created = d.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let result = match created {
                Ok(pipelines) => {
                    let result = self.read(pipelines[0], shader);
                    d.destroy_pipeline(pipelines[0], None);
                    result
                }
                Err((_, error)) => Err(error.into()),
            };
            d.destroy_pipeline_layout(layout, None);
            d.destroy_descriptor_set_layout(set, None);
            d.destroy_shader_module(module, None);
            result
        }
    }

    /// # Safety
    /// `pipeline` must be a compute pipeline of this device that captures statistics and representations.
    unsafe fn read(&self, pipeline: vk::Pipeline, shader: &Shader) -> Result<Compiled> {
        // SAFETY: by the caller's promise; a compute pipeline has one executable, number 0.
        unsafe {
            let properties = self
                .executables
                .get_pipeline_executable_properties(&vk::PipelineInfoKHR::default().pipeline(pipeline))?;
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let mut statistics = BTreeMap::new();
            for statistic in self.executables.get_pipeline_executable_statistics(&executable)? {
                // All statistics in the table are unsigned. Any other would appear as a large number.
                statistics.insert(text(statistic.name_as_c_str()?), statistic.value.u64);
            }
            Ok(Compiled {
                statistics,
                subgroup_size: properties.first().ok_or("the pipeline has no executable")?.subgroup_size,
                workgroup_threads: shader.workgroup_threads(),
                workgroup_bytes: shader.workgroup_bytes(),
                assembly: self.assembly(&executable)?,
            })
        }
    }

    /// The last representation, which is the assembly where a driver shows one. The driver is asked for the number of representations, then for their
    /// sizes, then for the texts.
    ///
    /// # Safety
    /// As for `read`.
    unsafe fn assembly(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Option<String>> {
        let ask = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let device = self.device.handle();
        let mut count = 0;
        // SAFETY: null asks for the count alone.
        unsafe { ask(device, executable, &mut count, std::ptr::null_mut()).result()? };
        let mut parts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
        // SAFETY: there is room for `count` of them; without a place for texts only sizes are written.
        unsafe { ask(device, executable, &mut count, parts.as_mut_ptr()).result()? };
        let mut texts: Vec<Vec<u8>> = parts.iter().map(|part| vec![0; part.data_size]).collect();
        for (part, text) in parts.iter_mut().zip(&mut texts) {
            part.p_data = text.as_mut_ptr().cast();
        }
        // SAFETY: every text has the size that was asked for.
        unsafe { ask(device, executable, &mut count, parts.as_mut_ptr()).result()? };
        for (part, text) in parts.iter().zip(&texts) {
            if part.name_as_c_str()?.to_string_lossy().to_lowercase().contains("assembly") {
                return Ok(Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()));
            }
        }
        Ok(None)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: nothing of the device or the instance is in use any more.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// Opens an adapter with what wgpu asks for on it, as far as code generation can tell.
///
/// # Safety
/// `adapter` must be of `instance`, which must outlive the device.
unsafe fn open_adapter(instance: &ash::Instance, adapter: vk::PhysicalDevice) -> Result<ash::Device> {
    // SAFETY: by the caller's promise; only extensions and features that the adapter offers are asked for.
    unsafe {
        let offered = instance.enumerate_device_extension_properties(adapter)?;
        let has = |wanted: &CStr| offered.iter().any(|e| e.extension_name_as_c_str() == Ok(wanted));
        if !has(khr::pipeline_executable_properties::NAME) {
            return Err("the driver tells nothing about compiled pipelines".into());
        }
        let mut extensions = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
        let mut executables =
            vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
        let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
        let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
        let (mut can11, mut can12, mut can13) = Default::default();
        let mut can = vk::PhysicalDeviceFeatures2::default()
            .push_next::<vk::PhysicalDeviceVulkan11Features<'_>>(&mut can11)
            .push_next::<vk::PhysicalDeviceVulkan12Features<'_>>(&mut can12)
            .push_next::<vk::PhysicalDeviceVulkan13Features<'_>>(&mut can13);
        instance.get_physical_device_features2(adapter, &mut can);
        let base = vk::PhysicalDeviceFeatures::default()
            .robust_buffer_access(can.features.robust_buffer_access != 0)
            .shader_int16(can.features.shader_int16 != 0);
        let mut v11 = vk::PhysicalDeviceVulkan11Features::default()
            .storage_buffer16_bit_access(can11.storage_buffer16_bit_access != 0)
            .uniform_and_storage_buffer16_bit_access(can11.uniform_and_storage_buffer16_bit_access != 0);
        let mut v12 = vk::PhysicalDeviceVulkan12Features::default()
            .shader_float16(can12.shader_float16 != 0)
            .vulkan_memory_model(can12.vulkan_memory_model != 0)
            .vulkan_memory_model_device_scope(can12.vulkan_memory_model_device_scope != 0);
        let mut v13 =
            vk::PhysicalDeviceVulkan13Features::default().subgroup_size_control(can13.subgroup_size_control != 0);
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let mut info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_features(&base)
            .push_next(&mut executables)
            .push_next(&mut v11)
            .push_next(&mut v12)
            .push_next(&mut v13);
        if has(khr::cooperative_matrix::NAME) {
            extensions.push(khr::cooperative_matrix::NAME.as_ptr());
            info = info.push_next(&mut matrices);
        }
        if has(ash::ext::robustness2::NAME) {
            extensions.push(ash::ext::robustness2::NAME.as_ptr());
            info = info.push_next(&mut robustness);
        }
        Ok(instance.create_device(adapter, &info.enabled_extension_names(&extensions), None)?)
    }
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}
