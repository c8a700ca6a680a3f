//! The functions of PromQL: their names, arguments and results, as in Prometheus 3.14
//! (`promql/parser/functions.go`).

use super::ast::ValueType::{self, Matrix, Scalar, String as Text, Vector};

/// A function's name and types.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    /// As it is written.
    pub name: &'static str,
    /// Types of the arguments; the last one repeats where arguments are optional.
    pub arguments: &'static [ValueType],
    /// Zero if all arguments are needed. Otherwise the last one may be missing, and there may be up
    /// to this many of it, or any number for -1.
    pub variadic: i8,
    /// The type of a call.
    pub returns: ValueType,
}

const fn of(
    name: &'static str,
    arguments: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
) -> Signature {
    Signature { name, arguments, variadic, returns }
}

const VECTOR: &[ValueType] = &[Vector];
const MATRIX: &[ValueType] = &[Matrix];
const TWO_SCALARS: &[ValueType] = &[Scalar, Scalar];

/// Sorted by name.
pub(crate) static FUNCTIONS: &[Signature] = &[
    of("abs", VECTOR, 0, Vector),
    of("absent", VECTOR, 0, Vector),
    of("absent_over_time", MATRIX, 0, Vector),
    of("acos", VECTOR, 0, Vector),
    of("acosh", VECTOR, 0, Vector),
    of("asin", VECTOR, 0, Vector),
    of("asinh", VECTOR, 0, Vector),
    of("atan", VECTOR, 0, Vector),
    of("atanh", VECTOR, 0, Vector),
    of("avg_over_time", MATRIX, 0, Vector),
    of("ceil", VECTOR, 0, Vector),
    of("changes", MATRIX, 0, Vector),
    of("clamp", &[Vector, Scalar, Scalar], 0, Vector),
    of("clamp_max", &[Vector, Scalar], 0, Vector),
    of("clamp_min", &[Vector, Scalar], 0, Vector),
    of("cos", VECTOR, 0, Vector),
    of("cosh", VECTOR, 0, Vector),
    of("count_over_time", MATRIX, 0, Vector),
    of("day_of_month", VECTOR, 1, Vector),
    of("day_of_week", VECTOR, 1, Vector),
    of("day_of_year", VECTOR, 1, Vector),
    of("days_in_month", VECTOR, 1, Vector),
    of("deg", VECTOR, 0, Vector),
    of("delta", MATRIX, 0, Vector),
    of("deriv", MATRIX, 0, Vector),
    of("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector),
    of("end", &[], 0, Scalar),
    of("exp", VECTOR, 0, Vector),
    of("first_over_time", MATRIX, 0, Vector),
    of("floor", VECTOR, 0, Vector),
    of("histogram_avg", VECTOR, 0, Vector),
    of("histogram_count", VECTOR, 0, Vector),
    of("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector),
    of("histogram_quantile", &[Scalar, Vector], 0, Vector),
    of("histogram_quantiles", &[Vector, Text, Scalar, Scalar], 9, Vector),
    of("histogram_stddev", VECTOR, 0, Vector),
    of("histogram_stdvar", VECTOR, 0, Vector),
    of("histogram_sum", VECTOR, 0, Vector),
    of("hour", VECTOR, 1, Vector),
    of("idelta", MATRIX, 0, Vector),
    of("increase", MATRIX, 0, Vector),
    of("info", &[Vector, Vector], 1, Vector),
    of("irate", MATRIX, 0, Vector),
    of("label_join", &[Vector, Text, Text, Text], -1, Vector),
    of("label_replace", &[Vector, Text, Text, Text, Text], 0, Vector),
    of("last_over_time", MATRIX, 0, Vector),
    of("ln", VECTOR, 0, Vector),
    of("log10", VECTOR, 0, Vector),
    of("log2", VECTOR, 0, Vector),
    of("mad_over_time", MATRIX, 0, Vector),
    of("max_of", TWO_SCALARS, 0, Scalar),
    of("max_over_time", MATRIX, 0, Vector),
    of("min_of", TWO_SCALARS, 0, Scalar),
    of("min_over_time", MATRIX, 0, Vector),
    of("minute", VECTOR, 1, Vector),
    of("month", VECTOR, 1, Vector),
    of("pi", &[], 0, Scalar),
    of("predict_linear", &[Matrix, Scalar], 0, Vector),
    of("present_over_time", MATRIX, 0, Vector),
    of("quantile_over_time", &[Scalar, Matrix], 0, Vector),
    of("rad", VECTOR, 0, Vector),
    of("range", &[], 0, Scalar),
    of("rate", MATRIX, 0, Vector),
    of("resets", MATRIX, 0, Vector),
    of("round", &[Vector, Scalar], 1, Vector),
    of("scalar", VECTOR, 0, Scalar),
    of("sgn", VECTOR, 0, Vector),
    of("sin", VECTOR, 0, Vector),
    of("sinh", VECTOR, 0, Vector),
    of("sort", VECTOR, 0, Vector),
    of("sort_by_label", &[Vector, Text], -1, Vector),
    of("sort_by_label_desc", &[Vector, Text], -1, Vector),
    of("sort_desc", VECTOR, 0, Vector),
    of("sqrt", VECTOR, 0, Vector),
    of("start", &[], 0, Scalar),
    of("start_timestamp", VECTOR, 0, Vector),
    of("stddev_over_time", MATRIX, 0, Vector),
    of("stdvar_over_time", MATRIX, 0, Vector),
    of("step", &[], 0, Scalar),
    of("sum_over_time", MATRIX, 0, Vector),
    of("tan", VECTOR, 0, Vector),
    of("tanh", VECTOR, 0, Vector),
    of("time", &[], 0, Scalar),
    of("timestamp", VECTOR, 0, Vector),
    of("ts_of_first_over_time", MATRIX, 0, Vector),
    of("ts_of_last_over_time", MATRIX, 0, Vector),
    of("ts_of_max_over_time", MATRIX, 0, Vector),
    of("ts_of_min_over_time", MATRIX, 0, Vector),
    of("vector", &[Scalar], 0, Vector),
    of("year", VECTOR, 1, Vector),
];

/// Finds a function by its exact name.
pub(crate) fn find(name: &str) -> Option<&'static Signature> {
    let index = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
    FUNCTIONS.get(index)
}

/// The names of all functions, sorted.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// Whether a call can differ between evaluation times although its arguments do not.
pub(crate) fn depends_on_time(name: &str) -> bool {
    matches!(
        name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "end"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "range"
            | "start"
            | "step"
            | "time"
            | "timestamp"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_sorted_so_that_they_can_be_found() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(FUNCTIONS.len(), 90);
        assert!(find("rate").is_some());
        assert!(find("rat").is_none());
    }
}
