//! Parts against a naive list of their rows.

mod corrupt;
mod fixtures;
mod generate;
mod measure;
mod props;
mod real;
mod shop;
