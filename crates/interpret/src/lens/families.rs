//! The names that common models give their tensors.

use unmix_data::Weights;

use super::{LensError, Role};

/// How a down-projection lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// [d_model, d], as torch's `Linear` has it.
    OutIn,
    /// [d, d_model], as GPT-2's `Conv1D` has it.
    InOut,
}

/// Whether the unembedding is the embedding where there is no separate one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tied {
    /// Unless the configuration says otherwise.
    Mostly,
    /// Only if the configuration says so.
    Rarely,
}

/// Models whose tensors are named alike. `PREFIX` is whatever comes before the layers, such as `model.`.
#[derive(Debug)]
pub(super) struct Family {
    /// `PREFIX` + this + `.N.` + `module` + `.weight` is the down-projection of layer N.
    layers: &'static str,
    module: &'static str,
    pub layout: Layout,
    /// Behind `PREFIX`.
    final_norm: &'static str,
    pub has_layer_norm: bool,
    /// Behind `PREFIX`.
    embedding: &'static str,
    /// Behind `PREFIX` or a beginning of it.
    head: &'static str,
    tied: Tied,
}

const FAMILIES: [Family; 4] = [
    // Llama, Mistral, Qwen, SmolLM, Gemma, OLMo 2 and others.
    Family {
        layers: "layers",
        module: "mlp.down_proj",
        layout: Layout::OutIn,
        final_norm: "norm.weight",
        has_layer_norm: false,
        embedding: "embed_tokens.weight",
        head: "lm_head.weight",
        tied: Tied::Mostly,
    },
    // GPT-2.
    Family {
        layers: "h",
        module: "mlp.c_proj",
        layout: Layout::InOut,
        final_norm: "ln_f.weight",
        has_layer_norm: true,
        embedding: "wte.weight",
        head: "lm_head.weight",
        tied: Tied::Mostly,
    },
    // GPT-NeoX, Pythia.
    Family {
        layers: "layers",
        module: "mlp.dense_4h_to_h",
        layout: Layout::OutIn,
        final_norm: "final_layer_norm.weight",
        has_layer_norm: true,
        embedding: "embed_in.weight",
        head: "embed_out.weight",
        tied: Tied::Rarely,
    },
    // OPT.
    Family {
        layers: "layers",
        module: "fc2",
        layout: Layout::OutIn,
        final_norm: "final_layer_norm.weight",
        has_layer_norm: true,
        embedding: "embed_tokens.weight",
        head: "lm_head.weight",
        tied: Tied::Mostly,
    },
];

/// Prefixes tried where the down-projection, in a file of its own, tells none.
const PREFIXES: [&str; 6] =
    ["model.", "transformer.", "gpt_neox.", "model.decoder.", "model.language_model.", "language_model.model."];
/// Names in files that hold nothing else.
const DOWN_PROJECTIONS: [&str; 2] = ["down_proj", "down_proj.weight"];
const UNEMBEDDINGS: [&str; 2] = ["unembedding", "unembedding.weight"];
const FINAL_NORMS: [&str; 2] = ["final_norm", "final_norm.weight"];
/// Norms between the down-projection and the residual stream, of Gemma 2 and 3 and OLMo 2, and of GLM 4.
const POST_NORMS: [&str; 2] = ["post_feedforward_layernorm.weight", "post_mlp_layernorm.weight"];

/// A down-projection and what its name tells.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: String,
    pub family: Option<&'static Family>,
    prefix: String,
    layer: Option<u32>,
}

impl Place {
    pub(super) fn of(name: &str) -> Place {
        let split = FAMILIES.iter().find_map(|family| {
            let rest = name.strip_suffix(".weight")?.strip_suffix(family.module)?.strip_suffix('.')?;
            let (rest, number) = rest.rsplit_once('.')?;
            let layer: u32 = number.parse().ok().filter(|n: &u32| n.to_string() == number)?;
            let prefix = rest.strip_suffix(family.layers)?;
            (prefix.is_empty() || prefix.ends_with('.')).then(|| (family, prefix.to_owned(), layer))
        });
        let name = name.to_owned();
        match split {
            Some((family, prefix, layer)) => Place { name, family: Some(family), prefix, layer: Some(layer) },
            None => Place { name, family: None, prefix: String::new(), layer: None },
        }
    }

    /// The only down-projection that may be meant.
    pub(super) fn find(weights: &Weights, neurons: usize, layer: Option<u32>) -> Result<Place, LensError> {
        const ROLE: Role = Role::DownProjection;
        let known: Vec<Place> = weights
            .names()
            .map(Place::of)
            .filter(|place| place.family.is_some() || DOWN_PROJECTIONS.contains(&place.name.as_str()))
            .collect();
        if known.is_empty() {
            let families = FAMILIES.iter().map(|family| format!("{}.N.{}.weight", family.layers, family.module));
            let looked: Vec<String> = DOWN_PROJECTIONS.iter().map(ToString::to_string).chain(families).collect();
            return Err(not_found(ROLE, weights, &looked));
        }
        // A tensor without a number is that of the one layer whose file it is in.
        let named: Vec<&Place> =
            known.iter().filter(|place| layer.is_none() || place.layer.is_none() || place.layer == layer).collect();
        if let (true, Some(layer)) = (named.is_empty(), layer) {
            let mut layers: Vec<u32> = known.iter().filter_map(|place| place.layer).collect();
            layers.sort_unstable();
            layers.dedup();
            let layers = list(layers.iter().map(ToString::to_string));
            return Err(LensError::NoSuchLayer { files: files(weights), layer, layers });
        }
        let fits = |place: &&&Place| {
            weights.shape(&place.name).is_some_and(|shape| shape.len() == 2 && shape.contains(&(neurons as u64)))
        };
        let fitting: Vec<&&Place> = named.iter().filter(fits).collect();
        match fitting.as_slice() {
            [only] => Ok((**only).clone()),
            [] => {
                let name = &named[0].name;
                let expected = format!("a matrix with a side of {neurons}, the neurons of the features");
                Err(wrong_size(ROLE, weights, name, expected))
            }
            several => {
                let same = several.iter().all(|place| place.layer == several[0].layer);
                Err(LensError::Ambiguous {
                    role: ROLE,
                    files: files(weights),
                    candidates: list(several.iter().map(|place| place.name.clone())),
                    advice: if same { "name one of them" } else { "say which layer the activations are from" },
                })
            }
        }
    }

    /// The unembedding: a separate one, or else the embedding.
    pub(super) fn unembedding(&self, weights: &Weights) -> Result<String, LensError> {
        let tied = config_value(weights, "tie_word_embeddings").and_then(serde_json::Value::as_bool);
        let mut heads = Vec::new();
        let mut embeddings = Vec::new();
        for (family, prefix) in self.families() {
            heads.extend(beginnings(prefix).map(|beginning| format!("{beginning}{}", family.head)));
            if tied.unwrap_or(family.tied == Tied::Mostly) {
                embeddings.push(format!("{prefix}{}", family.embedding));
            }
        }
        let plain = UNEMBEDDINGS.iter().map(ToString::to_string);
        first(Role::Unembedding, weights, plain.chain(heads).chain(embeddings))
    }

    /// The final norm's weights.
    pub(super) fn final_norm(&self, weights: &Weights) -> Result<String, LensError> {
        let plain = FINAL_NORMS.iter().map(ToString::to_string);
        let named = self.families().map(|(family, prefix)| format!("{prefix}{}", family.final_norm));
        first(Role::FinalNorm, weights, plain.chain(named))
    }

    /// The norm between this down-projection and the residual stream.
    pub(super) fn post_norm(&self, weights: &Weights) -> Option<String> {
        POST_NORMS.iter().find_map(|norm| self.in_layer(norm).filter(|name| weights.shape(name).is_some()))
    }

    /// A tensor of the same layer.
    pub(super) fn in_layer(&self, name: &str) -> Option<String> {
        let (family, layer) = (self.family?, self.layer?);
        Some(format!("{}{}.{layer}.{name}", self.prefix, family.layers))
    }

    /// The families and prefixes of which other tensors may be.
    fn families(&self) -> impl Iterator<Item = (&'static Family, &str)> {
        let known = self.family.map(|family| (family, self.prefix.as_str()));
        let guessed = PREFIXES.iter().flat_map(|prefix| FAMILIES.iter().map(move |family| (family, *prefix)));
        known.into_iter().chain(guessed.filter(move |_| known.is_none()))
    }
}

/// The name of the bias that goes with these weights, if there is one.
pub(super) fn bias_of(weights: &Weights, name: &str) -> Option<String> {
    let bias = format!("{}.bias", name.strip_suffix(".weight").unwrap_or(name));
    weights.shape(&bias).is_some().then_some(bias)
}

/// A value of the configuration, of the text model where there are several.
pub(super) fn config_value<'a>(weights: &'a Weights, key: &str) -> Option<&'a serde_json::Value> {
    let config = weights.config()?;
    config.get("text_config").and_then(|text| text.get(key)).or_else(|| config.get(key))
}

/// `a.b.`, `a.` and nothing, of `a.b.`.
fn beginnings(prefix: &str) -> impl Iterator<Item = &str> {
    let whole = (!prefix.is_empty()).then_some(prefix);
    let ends = prefix.trim_end_matches('.').rmatch_indices('.').map(|(at, _)| &prefix[..=at]);
    whole.into_iter().chain(ends).chain([""])
}

/// The first of `names` that the weights have.
fn first(role: Role, weights: &Weights, names: impl Iterator<Item = String>) -> Result<String, LensError> {
    let mut looked = Vec::new();
    for name in names {
        if weights.shape(&name).is_some() {
            return Ok(name);
        }
        if !looked.contains(&name) {
            looked.push(name);
        }
    }
    Err(not_found(role, weights, &looked))
}

fn not_found(role: Role, weights: &Weights, looked: &[String]) -> LensError {
    LensError::NotFound {
        role,
        files: files(weights),
        looked: list(looked.iter().cloned()),
        held: list(weights.names().map(|name| match weights.shape(name) {
            Some(shape) => format!("{name} {shape:?}"),
            None => name.to_owned(),
        })),
    }
}

pub(super) fn wrong_size(role: Role, weights: &Weights, name: &str, expected: String) -> LensError {
    LensError::WrongSize {
        role,
        path: weights.path(name).unwrap_or("".as_ref()).to_owned(),
        tensor: name.to_owned(),
        shape: weights.shape(name).unwrap_or_default().to_vec(),
        expected,
    }
}

/// The files for a message: the first, and how many there are.
fn files(weights: &Weights) -> String {
    let mut paths = weights.paths();
    let first = paths.next().map_or_else(String::new, |path| path.display().to_string());
    if paths.len() == 0 { first } else { format!("{first} and {} more files", paths.len()) }
}

/// Names for a message, cut where there are many.
fn list(names: impl Iterator<Item = String>) -> String {
    const MOST: usize = 8;
    let names: Vec<String> = names.collect();
    let shown = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST { format!("{shown} and {} more", names.len() - MOST) } else { shown }
}
