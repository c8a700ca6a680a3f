//! Who sends: services and their pods, each a resource of nine attributes.

use proto::generated::opentelemetry::proto::resource::v1::Resource;

use super::attributes::text;
use super::random::Random;

const SERVICES: [&str; 20] = [
    "frontend",
    "checkout",
    "cart",
    "catalog",
    "payment",
    "shipping",
    "currency",
    "email",
    "recommendation",
    "ads",
    "search",
    "inventory",
    "pricing",
    "accounts",
    "sessions",
    "reviews",
    "fraud",
    "invoices",
    "notifications",
    "gateway",
];

/// One pod, and the pod that takes its place if it has one.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) node: String,
    pub(super) resource: Resource,
}

/// All pods.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) pods: Vec<Pod>,
}

impl Fleet {
    pub(super) fn new(seed: u64, services: usize, pods: usize) -> Self {
        let services = services.max(1);
        let pods = (0..pods.max(1)).map(|index| Pod::new(seed, services, index, 0)).collect();
        Fleet { pods }
    }
}

impl Pod {
    /// The pod at `index`; another generation is another pod of the same service.
    pub(super) fn new(seed: u64, services: usize, index: usize, generation: u64) -> Self {
        let mut random = Random::new(seed, 0x0070_6f64 ^ ((index as u64) << 32) ^ generation);
        let number = index % services;
        let service = match number / SERVICES.len() {
            0 => SERVICES[number].to_owned(),
            again => format!("{}-{}", SERVICES[number % SERVICES.len()], again + 1),
        };
        let replica_set = Random::new(seed, number as u64).next() & 0xffff_ffff;
        let name = format!("{service}-{replica_set:08x}-{:05x}", random.next() & 0xf_ffff);
        let node = format!("ip-10-0-{}-{}.internal", index / 10 % 256, 10 + index / 2_560);
        let (high, low) = (random.next(), random.next());
        let instance = format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        );
        let attributes = vec![
            text("service.name", service.as_str()),
            text("service.namespace", "shop"),
            text("service.version", format!("2.{}.{}", number % 14, number % 7)),
            text("service.instance.id", instance),
            text("deployment.environment.name", "production"),
            text("k8s.cluster.name", "eu-west-1a"),
            text("k8s.namespace.name", "shop-production"),
            text("k8s.node.name", node.as_str()),
            text("k8s.pod.name", name.as_str()),
        ];
        Pod { service, name, node, resource: Resource { attributes, ..Default::default() } }
    }
}
