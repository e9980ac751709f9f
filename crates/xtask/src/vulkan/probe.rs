//! Asks the Vulkan loader, in this process, which devices answer.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

#[link(name = "dl")]
unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

/// `VkInstanceCreateInfo`, with neither layers nor extensions.
#[repr(C)]
struct InstanceCreateInfo {
    kind: i32,
    next: *const c_void,
    flags: u32,
    application: *const c_void,
    layers: u32,
    layer_names: *const *const c_char,
    extensions: u32,
    extension_names: *const *const c_char,
}

/// Room for `VkPhysicalDeviceProperties` (824 bytes), with the same alignment.
type Properties = [u64; 128];
/// Where `deviceName` begins in it.
const DEVICE_NAME: usize = 20;

type CreateInstance = unsafe extern "C" fn(*const InstanceCreateInfo, *const c_void, *mut *mut c_void) -> i32;
type EnumeratePhysicalDevices = unsafe extern "C" fn(*mut c_void, *mut u32, *mut *mut c_void) -> i32;
type GetPhysicalDeviceProperties = unsafe extern "C" fn(*mut c_void, *mut Properties);

/// Names of all Vulkan devices; none if there is no loader or no driver.
pub fn devices() -> Vec<String> {
    // SAFETY: the name is a C string; the library stays open until the process ends.
    let library = unsafe { dlopen(c"libvulkan.so.1".as_ptr(), RTLD_NOW) };
    if library.is_null() {
        return Vec::new();
    }
    let symbol = |name: &str| {
        let name = CString::new(name).expect("no zero in a function's name");
        // SAFETY: the library is open and the name is a C string.
        Some(unsafe { dlsym(library, name.as_ptr()) }).filter(|symbol| !symbol.is_null())
    };
    let (Some(create), Some(enumerate), Some(describe)) =
        (symbol("vkCreateInstance"), symbol("vkEnumeratePhysicalDevices"), symbol("vkGetPhysicalDeviceProperties"))
    else {
        return Vec::new();
    };
    // SAFETY: these are the functions of Vulkan 1.0 with those names; the types say the same as vulkan_core.h.
    let (create, enumerate, describe) = unsafe {
        (
            std::mem::transmute::<*mut c_void, CreateInstance>(create),
            std::mem::transmute::<*mut c_void, EnumeratePhysicalDevices>(enumerate),
            std::mem::transmute::<*mut c_void, GetPhysicalDeviceProperties>(describe),
        )
    };
    let info = InstanceCreateInfo {
        kind: 1,
        next: ptr::null(),
        flags: 0,
        application: ptr::null(),
        layers: 0,
        layer_names: ptr::null(),
        extensions: 0,
        extension_names: ptr::null(),
    };
    let mut instance = ptr::null_mut();
    // SAFETY: `info` is complete, and the instance is written where there is room for it.
    if unsafe { create(&info, ptr::null(), &mut instance) } != 0 {
        return Vec::new();
    }
    let mut handles = [ptr::null_mut(); 16];
    let mut count = handles.len() as u32;
    // SAFETY: the instance is valid, and at most `count` handles are written. 5 says that there are more of them.
    let result = unsafe { enumerate(instance, &mut count, handles.as_mut_ptr()) };
    if result != 0 && result != 5 {
        return Vec::new();
    }
    handles[..count as usize]
        .iter()
        .map(|&handle| {
            let mut properties: Properties = [0; 128];
            // SAFETY: the handle is one of the instance's devices, and the struct fits.
            unsafe { describe(handle, &mut properties) };
            let start = ptr::from_ref(&properties).cast::<u8>().wrapping_add(DEVICE_NAME).cast();
            // SAFETY: Vulkan ends the name with a zero; if it did not, the zeros after the struct would.
            unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
        })
        .collect()
}
