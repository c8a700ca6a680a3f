//! What a resource adds to the labels of its series.

use proto::DecodeError;
use proto::otlp::ResourceRef;

use crate::otlp::fields::to_text;
use crate::otlp::naming::label_name;

/// Resource attributes that become labels of every series of the resource, so that users need no
/// join with `target_info`: the list that Grafana's LGTM image ships.
const PROMOTED: [&str; 22] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.version",
    "cloud.availability_zone",
    "cloud.region",
    "container.name",
    "deployment.environment",
    "deployment.environment.name",
    "host.name",
    "k8s.cluster.name",
    "k8s.container.name",
    "k8s.cronjob.name",
    "k8s.daemonset.name",
    "k8s.deployment.name",
    "k8s.job.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
];

/// The attributes that `job` and `instance` are made of.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// The labels of a resource.
#[derive(Debug, Default)]
pub(super) struct ResourceLabels {
    /// `job` and `instance`, where the resource says them.
    pub(super) identity: Vec<(String, String)>,
    /// Attributes that are labels of every series.
    pub(super) promoted: Vec<(String, String)>,
    /// All but the identifying attributes, for `target_info`.
    pub(super) other: Vec<(String, String)>,
    /// How many attributes the resource has.
    pub(super) attribute_count: usize,
}

impl ResourceLabels {
    pub(super) fn of(resource: ResourceRef<'_>) -> Result<Self, DecodeError> {
        let mut labels = ResourceLabels::default();
        let (mut name, mut namespace, mut instance) = (None, None, None);
        for attribute in resource.attributes() {
            let attribute = attribute?;
            labels.attribute_count += 1;
            let value = to_text(attribute.value)?.into_owned();
            match attribute.key {
                "service.name" => name = Some(value.clone()),
                "service.namespace" => namespace = Some(value.clone()),
                "service.instance.id" => instance = Some(value.clone()),
                _ => {}
            }
            let label = label_name(attribute.key);
            if label.is_empty() {
                continue;
            }
            if !IDENTIFYING.contains(&attribute.key) {
                labels.other.push((label.to_string(), value.clone()));
            }
            if PROMOTED.contains(&attribute.key) {
                labels.promoted.push((label.into_owned(), value));
            }
        }
        let job = match (namespace, name) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (_, name) => name,
        };
        for (label, value) in [("job", job), ("instance", instance)] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                labels.identity.push((label.to_owned(), value));
            }
        }
        Ok(labels)
    }
}
