# The commands of the README. Everything builds in the release profile, so that RocksDB's C++ is
# compiled once for the demo, the tests and CI.

.PHONY: demo run test lint bench

demo: ## Build, start a server, play a shop into it, show the page of its outage.
	@scripts/needs.sh
	cargo run --release -- demo

run: ## Build and serve on 127.0.0.1:4317, 4318 and 4319 with ./data.
	@scripts/needs.sh
	cargo run --release

test: ## Every test.
	@scripts/needs.sh
	cargo test --release --workspace
	CARGO_TARGET_DIR=target/generate cargo test --manifest-path proto/generate/Cargo.toml

lint: ## Formatting, clippy and documentation, warnings refused.
	@scripts/needs.sh
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

bench: ## The load generator against a fresh server; benches/README.md explains the figures.
	@scripts/needs.sh
	cargo build --release --workspace
	target/release/load spawn --server target/release/signalbox --signal all
