//! Where each dialect lives.
//!
//! Alertmanager is under its base only, and nothing is below `/alertmanager/alertmanager`: Grafana's
//! health check takes an answer there for another product.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::state::{ApiState, Shared};
use crate::{alertmanager_v2, loki, management, native, prometheus, tempo};

/// A body may not be larger than this.
const BODY_BYTES_MAX: usize = 10 << 20;

/// All routes of the read edge.
pub fn router(state: ApiState) -> Router {
    let shared: Arc<Shared> = Shared::new(state);
    Router::new()
        .merge(management::router())
        .nest("/api/v1", prometheus::router())
        .nest("/prometheus/api/v1", prometheus::router())
        .nest("/prometheus/-", management::probes())
        .route("/prometheus/federate", get(prometheus::federate))
        .route("/prometheus/version", get(prometheus::version))
        .nest("/native/v1", native::router())
        .nest("/loki/api/v1", loki::router())
        .nest("/api/prom", loki::legacy_router())
        .merge(loki::operator_router())
        .merge(tempo::router(&shared))
        .nest("/alertmanager/api/v2", alertmanager_v2::router())
        .nest("/alertmanager/-", management::probes())
        .fallback(management::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // Numbers compress well at any level, and the fastest costs a fraction of the default.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .with_state(shared)
}
