//! Loki push: `POST /loki/api/v1/push` and the older `/api/prom/push`, as Promtail, Alloy, Fluent Bit
//! and Docker's log driver send it (<https://grafana.com/docs/loki/latest/reference/loki-http-api/>,
//! "Ingest logs").
//!
//! A request is negotiated by its headers (`http.rs`), unpacked within limits, and read as snappy
//! protobuf or as JSON (`json.rs`); both become one batch (`mapping.rs`). What can not be kept is
//! refused stream by stream or line by line, and the answer is then 400 with counts and reasons:
//! the rest was kept, and the sender must not send it again.
//!
//! Unlike Loki: lines of any age that the store keeps may come in any order; a line that is not
//! UTF-8 is kept with its bad bytes replaced instead of refused; one that is too long is cut and
//! marked.

pub(crate) mod http;
mod json;
mod labels;
mod mapping;
pub(crate) mod telemetry;

use bytes::Bytes;
use model::ErrorKind;
use model::write::WriteOutcome;
use proto::loki_push::PushRef;

use crate::body::{self, Encoding};
use crate::otlp::receiver::{Format, Receiver, Reservation, check_json_objects, off_loop};
use crate::rejection::Rejection;
use crate::remote_write;
use mapping::Mapper;

/// What lines unpack to, more or less.
const EXPANSION_USUAL: usize = 5;

impl Receiver {
    /// Takes one push: unpacks, maps, stores, waits until it is durable, counts. `encoding` is what
    /// the body was packed with beside the snappy that protobuf always has.
    pub(crate) async fn loki_push(
        &self,
        format: Format,
        encoding: Encoding,
        wire: Bytes,
        reservation: Reservation<'_>,
    ) -> Result<WriteOutcome, Rejection> {
        let started = self.clock.monotonic();
        let result = self.loki_push_uncounted(format, encoding, wire, reservation).await;
        match &result {
            Ok(outcome) => {
                self.telemetry.loki_push.outcome(outcome);
                self.telemetry.lines(outcome);
            }
            Err(rejection) => self.telemetry.loki_push.refused(rejection),
        }
        let spent = self.clock.monotonic().saturating_sub(started);
        self.telemetry.loki_push.observe_seconds(spent.as_secs_f64());
        result
    }

    async fn loki_push_uncounted(
        &self,
        format: Format,
        encoding: Encoding,
        wire: Bytes,
        mut reservation: Reservation<'_>,
    ) -> Result<WriteOutcome, Rejection> {
        let limit = self.limits.request_bytes_max;
        let (sent, expected) = (wire.len(), wire.len().saturating_mul(EXPANSION_USUAL));
        let (outcome, commit) = off_loop(expected, || {
            let unpacked = body::decompress(wire, encoding, limit)?;
            let mut mapper = Mapper::new(&self.limits);
            let decoded: Bytes;
            match format {
                Format::Protobuf => {
                    decoded = remote_write::unpack(&unpacked, limit, &mut reservation)?.into();
                    self.telemetry.loki_push.bytes(sent, decoded.len());
                    mapper.protobuf(PushRef::new(&decoded))?;
                }
                Format::Json => {
                    decoded = unpacked;
                    reservation.grow(decoded.len())?;
                    self.telemetry.loki_push.bytes(sent, decoded.len());
                    check_json_objects(&decoded, limit)?;
                    let push = json::read(&decoded).map_err(|message| {
                        Rejection::permanent("bad_json", ErrorKind::BadRequest, message)
                    })?;
                    mapper.json(push)?;
                }
            }
            let (batch, mut outcome) = mapper.finish();
            let (stored, commit) =
                self.sinks.logs.append(&batch).map_err(|e| self.store_error(&e))?;
            outcome.merge(stored);
            Ok::<_, Rejection>((outcome, commit))
        })?;
        commit.await.map_err(|e| self.store_error(&e))?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
