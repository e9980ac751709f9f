//! The final norm.

use super::lookup::{bias_name, bias_of, files, first, vector_of_width};
use super::model::Model;
use super::place::Place;
use super::{LensError, NormKind, Role};

/// Entries of a file's metadata: the kind of a norm, and its ε.
const METADATA_KIND: &str = "norm";
const METADATA_EPSILON: [&str; 3] = ["eps", "epsilon", "norm_epsilon"];
/// Where ε is in the configuration of a model of unknown type.
const CONFIG_EPSILON: [&str; 4] = ["rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_eps"];
const DEFAULT_EPSILON: f64 = 1e-5;

/// A norm with its weights.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    /// Name of its weights, if it has weights.
    pub name: Option<String>,
    pub kind: NormKind,
    /// [d_model]. If the file stores the difference from 1, the 1 is already added here. Empty without weights.
    pub gain: Vec<f32>,
    /// [d_model], or empty.
    pub bias: Vec<f32>,
    pub epsilon: f64,
}

impl Norm {
    /// The norm before the unembedding of the model whose down-projection is at `place`.
    pub(super) fn last(model: &Model<'_>, place: &Place, width: usize) -> Result<Norm, LensError> {
        let options = model.options;
        if options.norm == Some(NormKind::None) {
            return Ok(Norm { name: None, kind: NormKind::None, gain: Vec::new(), bias: Vec::new(), epsilon: 0.0 });
        }
        let has_weights = options.final_norm.is_some() || model.family().is_none_or(|family| family.norm_has_weights);
        let name = match &options.final_norm {
            Some(name) => Some(name.clone()),
            None if has_weights => Some(first(Role::FinalNorm, model.weights, place.final_norms())?),
            None => None,
        };
        let kind = kind(model, place, name.as_deref())?;
        let epsilon = epsilon(model, name.as_deref())?;
        let Some(name) = name else {
            return Ok(Norm { name: None, kind, gain: Vec::new(), bias: Vec::new(), epsilon });
        };
        let bias = if kind.is_layer() { bias(model, &name, kind)? } else { None };
        let vector = |name: &str, role| vector_of_width(model.weights, name, role, width);
        Ok(Norm {
            kind,
            gain: plus(vector(&name, Role::FinalNorm)?, kind.adds_one()),
            bias: bias.map(|bias| vector(&bias, Role::FinalNormBias)).transpose()?.unwrap_or_default(),
            epsilon,
            name: Some(name),
        })
    }

    /// The norm of `x`, computed in f64. Writes to `out`.
    pub(super) fn apply(&self, x: &[f32], out: &mut [f32]) {
        let count = x.len() as f64;
        let mean = if self.kind.is_layer() { x.iter().map(|&x| f64::from(x)).sum::<f64>() / count } else { 0.0 };
        let square = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let scale = if self.kind == NormKind::None { 1.0 } else { (square + self.epsilon).sqrt().recip() };
        for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
            let gain = self.gain.get(i).map_or(1.0, |&gain| f64::from(gain));
            let bias = self.bias.get(i).map_or(0.0, |&bias| f64::from(bias));
            *out = ((f64::from(x) - mean) * scale * gain + bias) as f32;
        }
    }
}

/// Weights as they multiply. If `one`, they are stored as their difference from 1.
pub(super) fn plus(mut gain: Vec<f32>, one: bool) -> Vec<f32> {
    if one {
        gain.iter_mut().for_each(|gain| *gain += 1.0);
    }
    gain
}

/// The kind of the norm with these weights. It comes from the options, else from the metadata of its file, else from
/// the model's type, else from names that only models with layer norms have.
fn kind(model: &Model<'_>, place: &Place, name: Option<&str>) -> Result<NormKind, LensError> {
    if let Some(kind) = model.options.norm {
        return Ok(kind);
    }
    let noted = name.and_then(|name| Some((name, model.weights.metadata(name)?.get(METADATA_KIND)?)));
    if let Some((name, noted)) = noted {
        return NormKind::named(noted).filter(|&kind| kind != NormKind::None).ok_or_else(|| LensError::Metadata {
            path: model.weights.path(name).unwrap_or("".as_ref()).to_owned(),
            key: METADATA_KIND,
            found: noted.clone(),
            expected: "rms, rms-plus-one, layer or layer-plus-one",
        });
    }
    match model.family() {
        Some(family) => Ok(family.norm),
        None if place.is_plain_layer_norm() => Ok(NormKind::Layer),
        None => Err(LensError::UnknownNorm { files: files(model.weights), norm: name.unwrap_or_default().to_owned() }),
    }
}

/// The name of a layer norm's bias, if it has one.
fn bias(model: &Model<'_>, name: &str, kind: NormKind) -> Result<Option<String>, LensError> {
    match model.family().filter(|family| family.norm == kind) {
        Some(family) if family.norm_has_bias => {
            first(Role::FinalNormBias, model.weights, vec![bias_name(name)]).map(Some)
        }
        Some(_) => Ok(None),
        None => Ok(bias_of(model.weights, name)),
    }
}

/// The ε of a model's norms. `name` is that of the final norm's weights.
pub(super) fn epsilon(model: &Model<'_>, name: Option<&str>) -> Result<f64, LensError> {
    let epsilon = match (model.options.epsilon, name.map(|name| noted_epsilon(model, name)).transpose()?.flatten()) {
        (Some(given), _) => given,
        (None, Some(noted)) => noted,
        (None, None) => match model.family() {
            Some(family) => match family.epsilon {
                (Some(key), default) => model.config.number(key, Some(default))?.unwrap_or(default),
                (None, fixed) => fixed,
            },
            None => CONFIG_EPSILON
                .into_iter()
                .find_map(|key| model.config.number(key, None).transpose())
                .transpose()?
                .unwrap_or(DEFAULT_EPSILON),
        },
    };
    if epsilon.is_finite() && epsilon >= 0.0 { Ok(epsilon) } else { Err(LensError::Epsilon(epsilon)) }
}

/// ε in the metadata of the file that holds the norm.
fn noted_epsilon(model: &Model<'_>, name: &str) -> Result<Option<f64>, LensError> {
    let metadata = model.weights.metadata(name);
    let Some((key, noted)) =
        metadata.and_then(|all| METADATA_EPSILON.iter().find_map(|key| Some((*key, all.get(*key)?))))
    else {
        return Ok(None);
    };
    noted.parse().map(Some).map_err(|_| LensError::Metadata {
        path: model.weights.path(name).unwrap_or("".as_ref()).to_owned(),
        key,
        found: noted.clone(),
        expected: "a number, such as 1e-5",
    })
}
