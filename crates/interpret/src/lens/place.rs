//! Where the down-projection of a layer is among a model's tensors, and what its name says.

use unmix_data::Weights;

use super::lookup::{files, list, not_found, numbers, wrong_size};
use super::names::{DOWN_PROJECTIONS, FINAL_NORMS, NAMES, Names, PREFIXES, UNEMBEDDINGS, beginnings};
use super::{LensError, Role};

/// The part of a layer that a down-projection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The MLP, or an expert that every token passes.
    Mlp,
    /// One of the experts between which tokens are routed.
    Expert(u32),
    /// All of these experts, in a tensor of three dimensions.
    Experts,
}

/// A down-projection and what its name says.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: String,
    pub layer: Option<u32>,
    pub part: Part,
    /// How the model names its tensors, if known.
    names: Option<&'static Names>,
    prefix: Option<String>,
}

/// Which down-projection is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub neurons: usize,
    pub layer: Option<u32>,
    pub expert: Option<u32>,
    /// Number of layers of the model, if known.
    pub layers: Option<u64>,
}

impl Place {
    /// The place of a tensor, in a model that names its tensors by `names`, or in one whose names are not known.
    pub(super) fn of(name: &str, names: Option<&'static Names>) -> Place {
        let among: &[&'static Names] = names.as_ref().map_or(&NAMES, std::slice::from_ref);
        let name = name.to_owned();
        match among.iter().find_map(|names| Some((*names, parse(&name, names)?))) {
            Some((names, (prefix, layer, part))) => {
                let prefix = Some(prefix.to_owned());
                Place { name, layer: Some(layer), part, names: Some(names), prefix }
            }
            None => Place { name, layer: None, part: Part::Mlp, names, prefix: None },
        }
    }

    /// The only down-projection that can be meant.
    pub(super) fn find(weights: &Weights, names: Option<&'static Names>, wanted: Wanted) -> Result<Place, LensError> {
        const ROLE: Role = Role::DownProjection;
        let known = candidates(weights, names, wanted.layers);
        if known.is_empty() {
            let among: &[&'static Names] = names.as_ref().map_or(&NAMES, std::slice::from_ref);
            let named = among
                .iter()
                .flat_map(|names| names.down.iter().map(|down| format!("{}.N.{down}.weight", names.layers)));
            let looked: Vec<String> = DOWN_PROJECTIONS.iter().map(ToString::to_string).chain(named).collect();
            return Err(not_found(ROLE, weights, &looked));
        }
        // A tensor without a number belongs to the one layer whose file it is in.
        let of_layer = |place: &&Place| wanted.layer.is_none() || place.layer.is_none() || place.layer == wanted.layer;
        let named: Vec<&Place> = known.iter().filter(of_layer).collect();
        if let (true, Some(layer)) = (named.is_empty(), wanted.layer) {
            let layers = numbers(known.iter().filter_map(|place| place.layer));
            return Err(LensError::NoSuchLayer { files: files(weights), layer, layers });
        }
        let of_expert = |place: &&Place| match (wanted.expert, place.part) {
            (None, _) | (Some(_), Part::Experts) => true,
            (Some(wanted), Part::Expert(expert)) => expert == wanted,
            (Some(_), Part::Mlp) => false,
        };
        let parts: Vec<&Place> = named.iter().copied().filter(of_expert).collect();
        if let (true, Some(expert)) = (parts.is_empty(), wanted.expert) {
            let experts = named.iter().filter_map(|place| match place.part {
                Part::Expert(expert) => Some(expert),
                _ => None,
            });
            return Err(LensError::NoSuchExpert { files: files(weights), expert, experts: numbers(experts) });
        }
        let fits = |place: &&Place| {
            let shape = weights.shape(&place.name).unwrap_or_default();
            let matrix = if place.part == Part::Experts { shape.get(1..).unwrap_or_default() } else { shape };
            matrix.len() == 2 && matrix.contains(&(wanted.neurons as u64))
        };
        let fitting: Vec<&Place> = parts.iter().copied().filter(fits).collect();
        match fitting.as_slice() {
            [only] if only.part != Part::Experts || wanted.expert.is_some() => Ok((*only).clone()),
            [] => {
                let expected = format!("a matrix with a side of {}, the neurons of the features", wanted.neurons);
                Err(wrong_size(ROLE, weights, &parts[0].name, expected))
            }
            several => {
                let one_layer = several.iter().all(|place| place.layer == several[0].layer);
                let experts = several.iter().any(|place| place.part != Part::Mlp);
                Err(LensError::Ambiguous {
                    role: ROLE,
                    files: files(weights),
                    candidates: list(several.iter().map(|place| place.name.clone())),
                    advice: match (one_layer, experts) {
                        (false, _) => "say which layer the activations are from",
                        (true, true) => "say which expert the activations are from",
                        (true, false) => "name one of them",
                    },
                })
            }
        }
    }

    /// Names under which a separate unembedding may be found.
    pub(super) fn unembeddings(&self) -> Vec<String> {
        let plain = UNEMBEDDINGS.iter().map(ToString::to_string);
        let named = self.models().flat_map(|(names, prefix)| {
            names
                .heads
                .iter()
                .flat_map(move |head| beginnings(prefix).map(move |beginning| format!("{beginning}{head}")))
        });
        plain.chain(named).collect()
    }

    /// Names under which the embedding may be found, if it may be the unembedding: if `tied` says so, or if `tied` says
    /// nothing and all models with these names tie the two.
    pub(super) fn embeddings(&self, tied: Option<bool>) -> Vec<String> {
        let models = self.models().filter(|(names, _)| tied.unwrap_or(names.is_tied));
        models.flat_map(|(names, prefix)| names.embeddings.iter().map(move |name| format!("{prefix}{name}"))).collect()
    }

    /// Names under which the final norm's weights may be found.
    pub(super) fn final_norms(&self) -> Vec<String> {
        let plain = FINAL_NORMS.iter().map(ToString::to_string);
        plain.chain(self.models().map(|(names, prefix)| format!("{prefix}{}", names.final_norm))).collect()
    }

    /// Whether every model that names its tensors like this one has a layer norm, and neither scales nor caps its
    /// logits.
    pub(super) fn is_plain_layer_norm(&self) -> bool {
        self.names.is_some_and(|names| names.is_plain_layer_norm)
    }

    /// A tensor of the same layer.
    pub(super) fn in_layer(&self, name: &str) -> Option<String> {
        Some(format!("{}{}.{}.{name}", self.prefix.as_ref()?, self.names?.layers, self.layer?))
    }

    /// The names and prefixes that other tensors may have.
    fn models(&self) -> impl Iterator<Item = (&'static Names, &str)> {
        let among: &[&'static Names] = self.names.as_ref().map_or(&NAMES, std::slice::from_ref);
        let among = among.to_vec();
        let prefixes = self.prefix.as_deref().map_or_else(|| PREFIXES.to_vec(), |prefix| vec![prefix]);
        prefixes.into_iter().flat_map(move |prefix| among.clone().into_iter().map(move |names| (names, prefix)))
    }
}

/// All tensors that may be the down-projection of a layer of the text model.
fn candidates(weights: &Weights, names: Option<&'static Names>, layers: Option<u64>) -> Vec<Place> {
    let mut known: Vec<Place> = weights
        .names()
        .map(|name| Place::of(name, names))
        .filter(|place| place.prefix.is_some() || DOWN_PROJECTIONS.contains(&place.name.as_str()))
        // Heads that predict further tokens may have numbers beyond those of the layers.
        .filter(|place| place.layer.zip(layers).is_none_or(|(layer, layers)| u64::from(layer) < layers))
        .collect();
    let is_usual = |place: &Place| place.prefix.as_deref().is_none_or(|prefix| PREFIXES.contains(&prefix));
    if known.iter().any(is_usual) {
        known.retain(is_usual);
    }
    known
}

/// Prefix, layer and part, from a down-projection's name.
fn parse<'a>(name: &'a str, names: &Names) -> Option<(&'a str, u32, Part)> {
    let mut start = 0;
    for component in name.split('.') {
        let rest = &name[start..];
        if component == names.layers
            && let Some((number, module)) = rest[component.len()..].strip_prefix('.').and_then(|r| r.split_once('.'))
            && let Some(layer) = whole_number(number)
            && let Some(part) = part(module, names)
        {
            return Some((&name[..start], layer, part));
        }
        start += component.len() + 1;
    }
    None
}

/// The part of a layer that a tensor belongs to, if it is a down-projection.
fn part(module: &str, names: &Names) -> Option<Part> {
    if module.strip_suffix(".weight").is_some_and(|module| names.down.contains(&module)) {
        return Some(Part::Mlp);
    }
    if names.fused.contains(&module) {
        return Some(Part::Experts);
    }
    let number = |(before, behind): &(&str, &str)| whole_number(module.strip_prefix(before)?.strip_suffix(behind)?);
    names.experts.iter().find_map(number).map(Part::Expert)
}

/// A number in the name of a tensor.
fn whole_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}
