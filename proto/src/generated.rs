//! The prost types of every wire format, as a module tree that mirrors the protobuf packages.
//!
//! The included files come out of the test in `proto/generate` and are not edited by hand; what a field
//! means is said in the `.proto` file it comes from. OTLP has no service traits here because the
//! collector serves OTLP on raw bytes.

/// Package `google`: error bodies and the well-known types inside them.
#[allow(missing_docs, reason = "the .proto files document these types")]
pub mod google {
    pub mod protobuf {
        include!("generated/google.protobuf.rs");
    }
    pub mod rpc {
        include!("generated/google.rpc.rs");
    }
}

/// Package `opentelemetry`: OTLP.
#[allow(missing_docs, reason = "the .proto files document these types")]
#[allow(clippy::enum_variant_names, reason = "enum names follow the .proto files")]
pub mod opentelemetry {
    pub mod proto {
        pub mod common {
            pub mod v1 {
                include!("generated/opentelemetry.proto.common.v1.rs");
            }
        }
        pub mod resource {
            pub mod v1 {
                include!("generated/opentelemetry.proto.resource.v1.rs");
            }
        }
        pub mod trace {
            pub mod v1 {
                include!("generated/opentelemetry.proto.trace.v1.rs");
            }
        }
        pub mod metrics {
            pub mod v1 {
                include!("generated/opentelemetry.proto.metrics.v1.rs");
            }
        }
        pub mod logs {
            pub mod v1 {
                include!("generated/opentelemetry.proto.logs.v1.rs");
            }
        }
        pub mod collector {
            pub mod trace {
                pub mod v1 {
                    include!("generated/opentelemetry.proto.collector.trace.v1.rs");
                }
            }
            pub mod metrics {
                pub mod v1 {
                    include!("generated/opentelemetry.proto.collector.metrics.v1.rs");
                }
            }
            pub mod logs {
                pub mod v1 {
                    include!("generated/opentelemetry.proto.collector.logs.v1.rs");
                }
            }
        }
    }
}

/// Package `tempopb`: what Grafana's Tempo data source speaks.
#[allow(missing_docs, reason = "the .proto files document these types")]
#[allow(clippy::allow_attributes_without_reason, reason = "tonic's generator gives no reasons")]
pub mod tempopb {
    include!("generated/tempopb.rs");
}
