//! Nothing but a place for the test that generates and compares. See `tests/generated.rs`.
