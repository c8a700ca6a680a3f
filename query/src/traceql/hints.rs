//! What a store may use to skip traces.
//!
//! Only conditions that some span of every wanted trace has to satisfy. An equality of attributes is
//! handed down as existence, because it also holds for an element of an array and for a number of
//! another type, which a store that looks up the value could not see; the exception is
//! `resource.service.name`, which is always a string.

use model::Value;
use model::read::{AttributeScope, SpanHint};

use super::ast::{
    Comparison, Field, FieldExpr, Intrinsic, Literal, Pipeline, Returned, SpansetExpr, SpansetOp,
    Stage,
};

/// The hints of a pipeline: those of its first stage, since later ones only narrow.
pub(crate) fn hints(pipeline: &Pipeline) -> Vec<SpanHint> {
    let mut hints = Vec::new();
    for stage in &pipeline.stages {
        match stage {
            Stage::Spanset(expr) => {
                of_spanset(expr, &mut hints);
                break;
            }
            Stage::By { .. } | Stage::Select | Stage::Coalesce => {}
            Stage::Aggregate { .. } => break,
        }
    }
    hints
}

fn of_spanset(expr: &SpansetExpr, hints: &mut Vec<SpanHint>) {
    match expr {
        SpansetExpr::Filter(Some(filter)) => of_filter(filter, hints),
        SpansetExpr::Filter(None) => {}
        SpansetExpr::Pipeline(pipeline) => hints.extend(self::hints(pipeline)),
        SpansetExpr::Binary { op, left, right } => match op {
            SpansetOp::Or => {}
            SpansetOp::Structural(_, Returned::Unrelated) => of_spanset(right, hints),
            SpansetOp::And | SpansetOp::Structural(..) => {
                of_spanset(left, hints);
                of_spanset(right, hints);
            }
        },
    }
}

fn of_filter(expr: &FieldExpr, hints: &mut Vec<SpanHint>) {
    match expr {
        FieldExpr::Logical { all: true, operands } => {
            operands.iter().for_each(|operand| of_filter(operand, hints));
        }
        FieldExpr::Field(field) => exists(field, hints),
        FieldExpr::Exists { operand, exists: true } => {
            if let FieldExpr::Field(field) = &**operand {
                exists(field, hints);
            }
        }
        FieldExpr::Match { operand, .. } => {
            if let FieldExpr::Field(field) = &**operand {
                exists(field, hints);
            }
        }
        FieldExpr::Compare { op, left, right } => match (&**left, &**right) {
            (FieldExpr::Field(field), FieldExpr::Literal(literal)) => {
                of_comparison(field, *op, literal, hints);
            }
            (FieldExpr::Literal(literal), FieldExpr::Field(field)) => {
                of_comparison(field, op.flip(), literal, hints);
            }
            _ => {}
        },
        _ => {}
    }
}

fn exists(field: &Field, hints: &mut Vec<SpanHint>) {
    if let Field::Attribute(scope, name) = field {
        hints.push(SpanHint::AttributeExists(*scope, name.clone()));
    }
}

fn of_comparison(field: &Field, op: Comparison, literal: &Literal, hints: &mut Vec<SpanHint>) {
    match (field, op, literal) {
        (
            Field::Attribute(AttributeScope::Resource, name),
            Comparison::Equal,
            Literal::Str(text),
        ) if name == "service.name" => {
            let value = Value::Str(text.clone());
            hints.push(SpanHint::AttributeEquals(AttributeScope::Resource, name.clone(), value));
        }
        (Field::Attribute(..), ..) => exists(field, hints),
        (Field::Intrinsic(Intrinsic::Name), Comparison::Equal, Literal::Str(text)) => {
            hints.push(SpanHint::NameEquals(text.clone()));
        }
        (Field::Intrinsic(Intrinsic::Status), Comparison::Equal, Literal::Status(code)) => {
            hints.push(SpanHint::StatusEquals(*code));
        }
        (Field::Intrinsic(Intrinsic::Kind), Comparison::Equal, Literal::Kind(kind)) => {
            hints.push(SpanHint::KindEquals(*kind));
        }
        (
            Field::Intrinsic(Intrinsic::Duration),
            Comparison::Greater | Comparison::GreaterEqual | Comparison::Equal,
            Literal::Duration(ns) | Literal::Int(ns),
        ) => hints.push(SpanHint::DurationAtLeast(*ns)),
        _ => {}
    }
}
