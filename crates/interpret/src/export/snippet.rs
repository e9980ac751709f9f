//! How each tool loads what was written for it.

use std::path::Path;

use super::Tool;
use crate::disturbs_a_terminal;

/// A few lines of Python that load the folder `out`. `layer` is the layer of the activations, if known.
pub fn snippet(tool: Tool, out: &Path, layer: Option<u32>) -> String {
    let path = python_string(out);
    match tool {
        Tool::Saelens => format!(
            "from sae_lens import SAE\nsae = SAE.load_from_disk({path})\ncoefficients = sae.encode(activations)\n"
        ),
        Tool::Sparsify => format!(
            "from sparsify import SparseCoder\ncoder = SparseCoder.load_from_disk({path})\n\
             top_acts, top_indices, _ = coder.encode(activations)\n"
        ),
        Tool::Delphi => format!(
            "from delphi.config import ConstructorConfig, SamplerConfig\nfrom delphi.latents import LatentDataset\n\
             cache = LatentDataset({path}, SamplerConfig(), ConstructorConfig(), tokenizer)\n"
        ),
        Tool::Saedashboard => format!(
            "from pathlib import Path\nfrom sae_dashboard.neuronpedia.vector_set import VectorSet\n\
             vectors = VectorSet.load(Path({path}) / \"vectors.json\")\n"
        ),
        Tool::Neuronpedia => format!(
            "import json, pathlib\nfrom sae_dashboard.neuronpedia.neuronpedia_dashboard import NeuronpediaDashboardBatch\n\
             batch = NeuronpediaDashboardBatch(**json.loads((pathlib.Path({path}) / \"batch-0.json\").read_text()))\n"
        ),
        Tool::Steering => {
            let (layer, note) = match layer {
                Some(layer) => (layer.to_string(), ""),
                None => ("LAYER".to_owned(), "# LAYER: the number of the activations' layer, from 0\n"),
            };
            format!(
                "import sys; sys.path.insert(0, {path})\nfrom steer import load, steer\n\
                 # strength 1: as much as the layer writes where the fit saw the feature strongest\n{note}\
                 handle = steer(model, {layer}, load(), feature=0, strength=4.0)   # handle.remove() undoes it\n"
            )
        }
    }
}

/// The path as a string of Python. Bytes that are not UTF-8 are written as Python's own file functions expect them.
/// Characters that cannot be printed are written as escapes.
fn python_string(path: &Path) -> String {
    let mut text = String::from("\"");
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                c if disturbs_a_terminal(c) => text.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\udc{byte:02x}")));
    }
    text + "\""
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn any_path_is_a_string_of_python() {
        let path = |bytes: &[u8]| python_string(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(path("plain café/東京".as_bytes()), "\"plain café/東京\"");
        assert_eq!(path(b"caf\xe9 \"quoted\" \\ \x1b\n"), r#""caf\udce9 \"quoted\" \\ \u001b\u000a""#);
    }
}
