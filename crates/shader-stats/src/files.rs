//! Writes every composed shader, and what naga makes of it, to a folder, for other compilers to read.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use naga::back::hlsl::ShaderModel;
use unmix_kernels::compose;

use crate::translate::Shader;
use crate::variants::{Composed, shaders};

/// The file that lists the shaders of the folder.
const INDEX: &str = "shaders.tsv";

/// Writes the shaders of the kernels whose names contain one of `parts`. The index has a line for each, with its file's
/// name without an extension, its name, and the entry points in HLSL of shader model 5.1 and 6.2, `-` where there is none.
pub fn write(folder: &Path, parts: &[String]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    let mut index = String::new();
    for shader in shaders(parts)? {
        let [old, new] = one(folder, &shader).map_err(|e| format!("{}: {e}", shader.name))?;
        writeln!(index, "{}\t{}\t{old}\t{new}", shader.name.stem(), shader.name)?;
    }
    put(folder, INDEX, index.as_bytes())
}

/// Writes one shader. Returns its entry points.
fn one(folder: &Path, composed: &Composed) -> Result<[String; 2], Box<dyn Error>> {
    let (stem, needs) = (composed.name.stem(), &composed.variant.needs);
    let wgsl = compose(composed.kernel, composed.element, composed.variant, composed.precision)?;
    let shader = Shader::parse(&wgsl)?;
    put(folder, &format!("{stem}.wgsl"), wgsl.as_bytes())?;
    let words: Vec<u8> = shader.spirv()?.into_iter().flat_map(u32::to_le_bytes).collect();
    put(folder, &format!("{stem}.spv"), &words)?;
    // wgpu offers cooperative matrices on Vulkan and Metal. On Metal they are 8 × 8.
    if needs.cooperative_matrix.is_none_or(|size| size == 8) {
        put(folder, &format!("{stem}.metal"), shader.msl()?.as_bytes())?;
    }
    let hlsl = |model: ShaderModel, kind: &str, can_be: bool| -> Result<String, Box<dyn Error>> {
        if !can_be {
            return Ok("-".to_owned());
        }
        let hlsl = shader.hlsl(model)?;
        put(folder, &format!("{stem}.{kind}.hlsl"), hlsl.text.as_bytes())?;
        Ok(hlsl.entry)
    };
    Ok([
        // FXC knows neither f16 nor subgroups.
        hlsl(ShaderModel::V5_1, "fxc", needs.are_portable())?,
        hlsl(ShaderModel::V6_2, "dxc", needs.cooperative_matrix.is_none())?,
    ])
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let file = folder.join(name);
    Ok(fs::write(&file, bytes).map_err(|e| format!("cannot write {}: {e}", file.display()))?)
}
