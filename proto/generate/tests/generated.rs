//! Generates the Rust types from the `.proto` files and compares them with `src/generated/`.
//!
//! The generated code is committed, so that a build needs neither `protoc` nor the code generators.
//! This test is what keeps it true: it fails when the two differ, and with `UPDATE_GENERATED=1` in
//! the environment it rewrites the committed files instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROTO_FILES: &[&str] = &[
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
    "opentelemetry/proto/collector/metrics/v1/metrics_service.proto",
    "opentelemetry/proto/collector/logs/v1/logs_service.proto",
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "tempopb/tempo.proto",
];

/// Runs the generators and returns file name -> text.
fn generate(manifest: &Path) -> BTreeMap<String, String> {
    let mut descriptors =
        protox::compile(PROTO_FILES, [manifest.join("proto")]).expect("the .proto files compile");
    for file in &mut descriptors.file {
        // The collector serves OTLP on raw bytes; only Grafana's search goes through a trait.
        if file.package() != "tempopb" {
            file.service.clear();
        }
    }

    let out = std::env::temp_dir().join(format!("signalbox-generated-{}", std::process::id()));
    std::fs::create_dir_all(&out).expect("a temporary folder");
    let mut prost = prost_build::Config::new();
    prost.out_dir(&out);
    // Comments stay in the .proto files: copied here they would be run as doctests.
    prost.disable_comments(["."]);
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(true)
        .compile_well_known_types(true)
        .out_dir(&out)
        .compile_fds_with_config(descriptors, prost)
        .expect("the descriptors generate code");

    let files = read_rust_files(&out);
    std::fs::remove_dir_all(&out).expect("the temporary folder goes away");
    files
}

fn read_rust_files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is readable") {
        let path: PathBuf = entry.expect("a folder entry").path();
        let name = path.file_name().expect("a file name").to_string_lossy().into_owned();
        if name.ends_with(".rs") {
            files.insert(name, std::fs::read_to_string(&path).expect("a text file"));
        }
    }
    files
}

#[test]
fn committed_code_is_what_the_proto_files_generate() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate proto");
    let committed_folder = manifest.join("src/generated");
    let generated = generate(manifest);
    let committed = read_rust_files(&committed_folder);
    if generated == committed {
        return;
    }
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        for name in committed.keys().filter(|name| !generated.contains_key(*name)) {
            std::fs::remove_file(committed_folder.join(name)).expect("a stale file goes away");
        }
        for (name, text) in &generated {
            std::fs::write(committed_folder.join(name), text).expect("a generated file is written");
        }
        return;
    }
    let stale: Vec<_> = generated
        .iter()
        .filter(|(name, text)| committed.get(*name) != Some(*text))
        .map(|(name, _)| name)
        .chain(committed.keys().filter(|name| !generated.contains_key(*name)))
        .collect();
    panic!(
        "src/generated differs from the .proto files in {stale:?}; \
         run UPDATE_GENERATED=1 cargo test --manifest-path proto/generate/Cargo.toml"
    );
}
