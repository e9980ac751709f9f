//! What is known about a model before its tensors are searched: options, configuration, family.

use unmix_data::Weights;

use super::config::Config;
use super::family::Family;
use super::lookup::files;
use super::names::Names;
use super::{LensError, NormKind, ReadoutOptions};

/// A model and what is known about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model<'a> {
    pub weights: &'a Weights,
    pub options: &'a ReadoutOptions,
    pub config: Config<'a>,
    /// Absent if neither options nor configuration give a type, or if the options say everything else.
    pub family: Option<(&'a str, &'static Family)>,
}

/// How far into the model the caller needs to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    ResidualStream,
    Logits,
}

impl<'a> Model<'a> {
    /// # Errors
    /// If the model's type is not known, and `options` do not name everything that is needed.
    pub(super) fn of(weights: &'a Weights, options: &'a ReadoutOptions, until: Until) -> Result<Model<'a>, LensError> {
        let config = Config::of(weights);
        let known = || Family::model_types().collect::<Vec<_>>().join(", ");
        let family = match (&options.model_type, config.model_type()) {
            (Some(given), _) => match Family::of(given) {
                Some(family) => Some((given.as_str(), family)),
                None => return Err(LensError::NoSuchType { model_type: given.clone(), known: known() }),
            },
            (None, Some(model_type)) => match (Family::of(model_type), missing(options, until)) {
                (Some(family), _) => Some((model_type, family)),
                (None, missing) if missing.is_empty() => None,
                (None, missing) => {
                    return Err(LensError::UnknownModel {
                        files: files(weights),
                        model_type: model_type.to_owned(),
                        missing: missing.join(", "),
                        known: known(),
                    });
                }
            },
            (None, None) => None,
        };
        if let Some((_, Family { needs: Some(key), .. })) = family
            && config.flag(key) == Some(false)
        {
            let expected = "true: otherwise the layers of this model do not add up in one residual stream, and what a feature \
                            writes has no logits";
            return Err(LensError::Config { key, found: "false".to_owned(), expected });
        }
        Ok(Model { weights, options, config, family })
    }

    pub(super) fn names(&self) -> Option<&'static Names> {
        self.family.map(|(_, family)| family.names)
    }

    pub(super) fn family(&self) -> Option<&'static Family> {
        self.family.map(|(_, family)| family)
    }
}

/// What `options` would have to name in addition, for a model of unknown type.
fn missing(options: &ReadoutOptions, until: Until) -> Vec<&'static str> {
    let logits = until == Until::Logits;
    let has_norm = options.norm != Some(NormKind::None);
    [
        (true, options.down_projection.is_some(), "its down-projection"),
        (logits, options.unembedding.is_some(), "its unembedding"),
        (logits, options.norm.is_some(), "the kind of its final norm"),
        (logits && has_norm, options.final_norm.is_some(), "its final norm"),
    ]
    .into_iter()
    .filter_map(|(needed, given, what)| (needed && !given).then_some(what))
    .collect()
}
