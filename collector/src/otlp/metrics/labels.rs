//! Which labels series get from their resource, their scope and their attributes.

use proto::DecodeError;
use proto::otlp::{Attributes, ResourceRef, ScopeMetricsRef};

use super::warnings::{LABEL_NAME, LABEL_NAME_COLLISION, Warnings};
use crate::otlp::fields::to_text;
use crate::otlp::naming::label_name;
use crate::otlp::translation::Translation;

/// The attributes that `job` and `instance` are made of.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// Labels in the making; an empty value is as good as none.
#[derive(Debug, Default, Clone)]
pub(super) struct Draft(pub(super) Vec<(String, String)>);

impl Draft {
    /// The value of a label; empty if it has none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// Sets a label, whatever it was.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// Attributes as text, sorted by key, so that values whose names collide are joined in a fixed
/// order.
fn texts(attributes: Attributes<'_>) -> Result<Vec<(&str, String)>, DecodeError> {
    let mut texts = Vec::new();
    for attribute in attributes {
        let attribute = attribute?;
        texts.push((attribute.key, to_text(attribute.value)?.into_owned()));
    }
    texts.sort_by(|a, b| a.0.cmp(b.0));
    Ok(texts)
}

/// Attributes as labels. Those that can not be a label are left out with a warning; values whose
/// names collide are joined with one too.
fn draft(
    attributes: &[(&str, String)],
    what: &str,
    translation: &Translation,
    warnings: &mut Warnings,
) -> Draft {
    let mut draft = Draft::default();
    for (key, value) in attributes {
        if *key == model::labels::METRIC_NAME {
            continue;
        }
        let Some(name) = label_name(key, translation) else {
            warnings.warn(LABEL_NAME, || {
                format!("{what} attribute {key:?} is left out: nothing of its name is left")
            });
            continue;
        };
        if name == model::labels::METRIC_NAME {
            continue;
        }
        let before = draft.get(&name);
        if before.is_empty() {
            draft.set(&name, value);
        } else {
            let joined = format!("{before};{value}");
            draft.set(&name, &joined);
            warnings.warn(LABEL_NAME_COLLISION, || {
                let keys: Vec<&str> = attributes
                    .iter()
                    .map(|(key, _)| *key)
                    .filter(|key| label_name(key, translation).is_some_and(|n| n == name))
                    .collect();
                format!(
                    "{what} attributes {keys:?} collide as label {name:?}, their values are joined \
                     with ';'"
                )
            });
        }
    }
    draft
}

/// The labels of a resource.
#[derive(Debug, Default)]
pub(super) struct ResourceLabels {
    /// `job` and `instance`, where the resource says them.
    identity: Vec<(&'static str, String)>,
    /// Attributes that are labels of every series.
    promoted: Draft,
    /// How many attributes the resource has.
    attribute_count: usize,
}

impl ResourceLabels {
    /// A resource of more than so many attributes has no labels: its points are refused for it.
    pub(super) fn of(
        resource: ResourceRef<'_>,
        translation: &Translation,
        attributes_max: usize,
    ) -> Result<Self, DecodeError> {
        let attributes = texts(resource.attributes())?;
        let attribute_count = attributes.len();
        if attribute_count > attributes_max {
            return Ok(ResourceLabels { attribute_count, ..Default::default() });
        }
        let mut promoted = Draft::default();
        for (key, value) in attributes.iter().filter(|(key, _)| translation.promotes(key)) {
            if let Some(name) = label_name(key, translation) {
                promoted.set(&name, value);
            }
        }
        let find = |key: &str| {
            attributes.iter().find(|(other, _)| *other == key).map(|(_, value)| value.as_str())
        };
        let job = match (find("service.namespace"), find("service.name")) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (_, name) => name.map(str::to_owned),
        };
        let instance = find("service.instance.id").map(str::to_owned);
        let identity = [("job", job), ("instance", instance)]
            .into_iter()
            .filter_map(|(label, value)| Some((label, value.filter(|v| !v.is_empty())?)))
            .collect();
        Ok(ResourceLabels { identity, promoted, attribute_count })
    }

    fn identify(&self, draft: &mut Draft) {
        self.identity.iter().for_each(|(name, value)| draft.set(name, value));
    }

    /// The labels of `target_info` without its name; `None` if it would tell nothing or of nobody.
    pub(super) fn target_info(
        &self,
        resource: ResourceRef<'_>,
        translation: &Translation,
        attributes_max: usize,
        warnings: &mut Warnings,
    ) -> Result<Option<Draft>, DecodeError> {
        if self.attribute_count > attributes_max {
            return Ok(None);
        }
        let mut attributes = texts(resource.attributes())?;
        if attributes.iter().all(|(key, _)| IDENTIFYING.contains(key)) {
            return Ok(None);
        }
        if !translation.keep_identifying_resource_attributes {
            attributes.retain(|(key, _)| !IDENTIFYING.contains(key));
        }
        let mut labels = draft(&attributes, "resource", translation, warnings);
        self.identify(&mut labels);
        let is_identified = !labels.get("job").is_empty() || !labels.get("instance").is_empty();
        Ok(is_identified.then_some(labels))
    }
}

/// The labels of a scope: none, unless it is promoted and has a name.
pub(super) fn scope_labels(
    scope: &ScopeMetricsRef<'_>,
    translation: &Translation,
    attributes_max: usize,
) -> Result<Draft, DecodeError> {
    let mut labels = Draft::default();
    if !translation.promote_scope_metadata || scope.scope.name.is_empty() {
        return Ok(labels);
    }
    for (key, value) in texts(scope.scope.attributes())?.into_iter().take(attributes_max) {
        let key = format!("otel_scope_{key}");
        if let Some(name) = label_name(&key, translation) {
            labels.set(&name, &value);
        }
    }
    labels.set("otel_scope_name", scope.scope.name);
    labels.set("otel_scope_version", scope.scope.version);
    labels.set("otel_scope_schema_url", scope.schema_url);
    Ok(labels)
}

/// The labels of a data point without its name, or how many attributes it or its resource has where
/// these are too many.
pub(super) fn point_labels(
    attributes: Attributes<'_>,
    resource: &ResourceLabels,
    scope: &Draft,
    translation: &Translation,
    attributes_max: usize,
    warnings: &mut Warnings,
) -> Result<Result<Draft, usize>, DecodeError> {
    let attributes = texts(attributes)?;
    let count = attributes.len().max(resource.attribute_count);
    if count > attributes_max {
        return Ok(Err(count));
    }
    let mut labels = draft(&attributes, "data point", translation, warnings);
    for (name, value) in &resource.promoted.0 {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    resource.identify(&mut labels);
    scope.0.iter().for_each(|(name, value)| labels.set(name, value));
    Ok(Ok(labels))
}
