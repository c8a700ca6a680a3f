//! What resources and scopes add: identity, promoted labels, `target_info`, scope labels; and what
//! happens where names collide.

use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::{InstrumentationScope, KeyValue};
use proto::generated::opentelemetry::proto::metrics::v1::{ResourceMetrics, ScopeMetrics};
use proto::generated::opentelemetry::proto::resource::v1::Resource;

use super::mapped::{Mapped, Shelf, map_with};
use super::sinks::*;
use crate::{Strategy, Translation};

/// A resource of these attributes with a gauge at each of these times after now, in seconds.
fn resource_metrics(attributes: &[(&str, &str)], seconds: &[i64]) -> ResourceMetrics {
    let points = seconds.iter().map(|seconds| {
        let mut point = point(1);
        point.time_unix_nano = NOW_NS.wrapping_add_signed(seconds * 1_000_000_000);
        point
    });
    let scope_metrics =
        ScopeMetrics { metrics: vec![gauge("g", points.collect())], ..Default::default() };
    ResourceMetrics {
        resource: Some(Resource { attributes: texts(attributes), ..Default::default() }),
        scope_metrics: vec![scope_metrics],
        ..Default::default()
    }
}

fn texts(attributes: &[(&str, &str)]) -> Vec<KeyValue> {
    attributes.iter().map(|(key, value)| text(key, value)).collect()
}

fn map_resource(translation: Translation, attributes: &[(&str, &str)]) -> Mapped {
    let resource_metrics = vec![resource_metrics(attributes, &[0])];
    map_with(translation, &ExportMetricsServiceRequest { resource_metrics })
}

/// All series that were made, with all of their labels.
fn series(mapped: &Mapped) -> Vec<String> {
    mapped.memory.series.lock().iter().map(ToString::to_string).collect()
}

fn nothing_promoted() -> Translation {
    Translation { promote_resource_attributes: Vec::new(), ..Default::default() }
}

#[track_caller]
fn check(translation: Translation, attributes: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(series(&map_resource(translation, attributes)), expected);
}

#[test]
fn job_and_instance_come_from_the_resource() {
    let none = nothing_promoted;
    check(none(), &[("service.name", "shop")], &[r#"g{job="shop"}"#]);
    check(
        none(),
        &[("service.name", "shop"), ("service.namespace", "eu"), ("service.instance.id", "i")],
        &[r#"g{instance="i", job="eu/shop"}"#],
    );
    check(none(), &[("service.namespace", "eu")], &["g"]);
    check(none(), &[("service.instance.id", "i")], &[r#"g{instance="i"}"#]);
    check(none(), &[], &["g"]);
}

#[test]
fn target_info_has_the_other_attributes_and_only_of_known_targets() {
    let none = nothing_promoted;
    let shop = ("service.name", "shop");
    check(
        none(),
        &[shop, ("host.name", "h"), ("os.type", "linux")],
        &[r#"g{job="shop"}"#, r#"target_info{host_name="h", job="shop", os_type="linux"}"#],
    );
    // Nobody's attributes tell nothing.
    check(none(), &[("host.name", "h")], &["g"]);
    check(none(), &[("service.namespace", "eu"), ("host.name", "h")], &["g"]);
    // Attributes that are called so identify as well.
    check(
        none(),
        &[("job", "j"), ("host.name", "h")],
        &["g", r#"target_info{host_name="h", job="j"}"#],
    );
    let keep = Translation { keep_identifying_resource_attributes: true, ..none() };
    check(
        keep.clone(),
        &[shop, ("host.name", "h")],
        &[r#"g{job="shop"}"#, r#"target_info{host_name="h", job="shop", service_name="shop"}"#],
    );
    // What only identifies is told by every series already.
    check(keep, &[shop], &[r#"g{job="shop"}"#]);
}

#[test]
fn target_info_spans_the_times_of_the_request_without_repeating_itself() {
    let attributes = [("service.name", "shop"), ("host.name", "h")];
    let other = [("service.name", "shop"), ("host.name", "h"), ("service.namespace", "")];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![
            resource_metrics(&attributes, &[-400, -10, -300]),
            resource_metrics(&attributes, &[-400, 0]),
            resource_metrics(&other, &[]),
        ],
    };
    let shelf = Shelf::new(nothing_promoted());
    let (batch, ..) = shelf.map(&request);
    let known = shelf.memory.series.lock();
    let told =
        batch.points.iter().filter(|p| known[p.series.0 as usize].metric_name() == "target_info");
    let seconds: Vec<i64> = told.map(|p| (p.at.0 - NOW.0) / 1000).collect();
    assert_eq!(seconds, [-400, -250, -100, -10, 0]);
}

#[test]
fn attributes_of_the_resource_are_promoted_by_name_or_all_but_some() {
    let named = Translation {
        promote_resource_attributes: vec!["host.name".to_owned(), "not.there".to_owned()],
        ..Default::default()
    };
    let attributes = [("host.name", "h"), ("os.type", "linux"), ("service.name", "shop")];
    assert_eq!(series(&map_resource(named, &attributes))[0], r#"g{host_name="h", job="shop"}"#);
    let all = Translation {
        promote_all_resource_attributes: true,
        ignore_resource_attributes: vec!["os.type".to_owned()],
        ..nothing_promoted()
    };
    assert_eq!(
        series(&map_resource(all, &attributes))[0],
        r#"g{host_name="h", job="shop", service_name="shop"}"#
    );
    // target_info has what is promoted too.
    let mapped = map_resource(Translation::default(), &attributes);
    assert_eq!(series(&mapped)[1], r#"target_info{host_name="h", job="shop", os_type="linux"}"#);
}

/// A gauge with these attributes under a resource and a scope that have some too.
fn map_point(translation: Translation, attributes: &[(&str, &str)]) -> Mapped {
    let mut point = point(1);
    point.attributes = texts(attributes);
    let mut request = metrics(vec![gauge("g.x", vec![point])]);
    let resource_metrics = &mut request.resource_metrics[0];
    resource_metrics.resource = Some(Resource {
        attributes: texts(&[("host.name", "h"), ("service.name", "shop")]),
        ..Default::default()
    });
    let scope = &mut resource_metrics.scope_metrics[0];
    scope.scope = Some(InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: texts(&[("a.b", "c"), ("name", "lost")]),
        ..Default::default()
    });
    scope.schema_url = "https://schema".to_owned();
    map_with(translation, &request)
}

#[test]
fn scopes_are_labels_where_that_is_wanted_but_never_of_target_info() {
    let translation = Translation { promote_scope_metadata: true, ..nothing_promoted() };
    let mapped = map_point(translation, &[("otel_scope_name", "mine")]);
    assert_eq!(
        series(&mapped),
        [
            "g_x{job=\"shop\", otel_scope_a_b=\"c\", otel_scope_name=\"lib\", \
             otel_scope_schema_url=\"https://schema\", otel_scope_version=\"1.2\"}",
            r#"target_info{host_name="h", job="shop"}"#,
        ]
    );
    assert_eq!(series(&map_point(nothing_promoted(), &[]))[0], r#"g_x{job="shop"}"#);
}

#[test]
fn a_points_own_attribute_wins_over_a_promoted_one_and_identity_over_both() {
    let mapped = map_point(Translation::default(), &[("host.name", "mine"), ("job", "mine")]);
    assert_eq!(series(&mapped)[0], r#"g_x{host_name="mine", job="shop", service_name="shop"}"#);
    let mapped = map_point(Translation::default(), &[("host.name", "")]);
    assert_eq!(series(&mapped)[0], r#"g_x{host_name="h", job="shop", service_name="shop"}"#);
}

#[test]
fn attributes_that_collide_are_joined_in_order_of_their_keys_and_warned_of() {
    let attributes = [("a_b", "3"), ("a.b", "2"), ("a-b", "1"), ("__name__", "x"), ("", "y")];
    let mapped = map_point(nothing_promoted(), &attributes);
    assert_eq!(series(&mapped)[0], r#"g_x{a_b="1;2;3", job="shop"}"#);
    assert_eq!(mapped.warnings, [("label_name", 1), ("label_name_collision", 2)]);
    assert_eq!((mapped.outcome.accepted, mapped.outcome.refused_count()), (1, 0));
    // An empty value is as good as none.
    let mapped = map_point(nothing_promoted(), &[("a.b", ""), ("a_b", "3")]);
    assert_eq!(series(&mapped)[0], r#"g_x{a_b="3", job="shop"}"#);
    assert!(mapped.warnings.is_empty());
}

#[test]
fn names_are_kept_as_they_are_where_that_is_wanted() {
    let strategy = Strategy::NoTranslation;
    let mapped = map_point(Translation { strategy, ..Default::default() }, &[("a-b", "1")]);
    assert_eq!(
        series(&mapped),
        [
            "{__name__=\"g.x\", a-b=\"1\", host.name=\"h\", job=\"shop\", service.name=\"shop\"}"
                .replace("a-b", "\"a-b\"")
                .replace("host.name", "\"host.name\"")
                .replace("service.name", "\"service.name\""),
            "target_info{\"host.name\"=\"h\", job=\"shop\"}".to_owned(),
        ]
    );
}

#[test]
fn two_scopes_and_two_resources_with_one_metric_are_told_apart() {
    let mut request = metrics(vec![gauge("g", vec![point(1)])]);
    let mut second = request.resource_metrics[0].scope_metrics[0].clone();
    second.scope = Some(InstrumentationScope { name: "lib".to_owned(), ..Default::default() });
    request.resource_metrics[0].scope_metrics.push(second);
    let mut other = request.resource_metrics[0].clone();
    other.resource = None;
    request.resource_metrics.push(other);
    let translation = Translation { promote_scope_metadata: true, ..nothing_promoted() };
    let mapped = map_with(translation, &request);
    let gauges: Vec<String> = series(&mapped).into_iter().filter(|s| s.starts_with('g')).collect();
    assert_eq!(
        gauges,
        [
            r#"g{instance="i1", job="eu/shop"}"#,
            r#"g{instance="i1", job="eu/shop", otel_scope_name="lib"}"#,
            "g",
            r#"g{otel_scope_name="lib"}"#,
        ]
    );
}
