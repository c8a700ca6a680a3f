//! Prometheus remote write, 1.0 and 2.0: `POST /api/v1/write`
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>).
//!
//! A request is negotiated by its headers (`http.rs`), unpacked within limits, walked without a
//! copy (`mapping.rs`) and appended; series are found by their labels alone, so that nothing is
//! kept here between requests but what metrics were last said to be. What can not be kept is
//! refused series by series or sample by sample, and the answer is then 400 with counts and
//! reasons: the rest was kept, and the sender must not send it again. Prometheus answers 204 to a
//! 1.0 request of which it dropped series with bad labels; saying so is better.
//!
//! Unlike Prometheus, a 2.0 series may have exemplars or metadata alone, which its own sender
//! writes; samples of any age that the store keeps may come in any order; and labels need not be
//! sorted.

mod crowd;
pub(crate) mod described;
pub(crate) mod histogram;
pub(crate) mod http;
mod labels;
mod mapping;
pub(crate) mod telemetry;

use axum::body::Bytes;
use model::write::{WriteOutcome, append_resolved};
use model::{Commit, ErrorKind};

use crate::otlp::receiver::{Receiver, Reservation, off_loop};
use crate::rejection::Rejection;
use mapping::Mapper;

/// Which message a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// The word of counters.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "1.0",
            Version::V2 => "2.0",
        }
    }
}

/// What three bytes of snappy can at most become: a copy of 64 bytes.
const SNAPPY_EXPANSION_MAX: usize = 22;

/// What series unpack to, more or less.
const SNAPPY_EXPANSION_USUAL: usize = 5;

/// Unpacks snappy's block format. The length that it declares is judged before there is memory for
/// it.
pub(crate) fn unpack(
    wire: &[u8],
    limit: usize,
    reservation: &mut Reservation<'_>,
) -> Result<Vec<u8>, Rejection> {
    let broken = |error: &dyn std::fmt::Display| {
        let message =
            format!("the body is not a snappy block (the framed format is not accepted): {error}");
        Rejection::permanent("bad_compression", ErrorKind::BadRequest, message)
    };
    let length = snap::raw::decompress_len(wire).map_err(|e| broken(&e))?;
    if length > limit {
        let message = format!(
            "the request declares {length} bytes after decompression, the limit is {limit}; send \
             smaller batches"
        );
        return Err(Rejection::permanent("too_large", ErrorKind::TooLarge, message));
    }
    if length > wire.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        let sent = wire.len();
        return Err(broken(&format!("{sent} bytes can not unpack to the declared {length}")));
    }
    reservation.grow(length)?;
    snap::raw::Decoder::new().decompress_vec(wire).map_err(|e| broken(&e))
}

impl Receiver {
    /// Takes one remote-write request: unpacks, maps, stores, waits until it is durable, counts.
    pub(crate) async fn remote_write(
        &self,
        version: Version,
        wire: Bytes,
        reservation: Reservation<'_>,
    ) -> Result<WriteOutcome, Rejection> {
        let started = self.clock.monotonic();
        let result = self.remote_write_uncounted(version, wire, reservation).await;
        let telemetry = &self.telemetry.remote_write;
        match &result {
            Ok(outcome) => telemetry.outcome(version, outcome),
            Err(rejection) => telemetry.refused(version, rejection),
        }
        let spent = self.clock.monotonic().saturating_sub(started);
        telemetry.observe_seconds(version, spent.as_secs_f64());
        result
    }

    async fn remote_write_uncounted(
        &self,
        version: Version,
        wire: Bytes,
        mut reservation: Reservation<'_>,
    ) -> Result<WriteOutcome, Rejection> {
        let expected = wire.len().saturating_mul(SNAPPY_EXPANSION_USUAL);
        let (outcome, commit) = off_loop(expected, || {
            let limit = self.limits.remote_write_bytes_max;
            let decoded = unpack(&wire, limit, &mut reservation)?;
            self.telemetry.remote_write.bytes(version, wire.len(), decoded.len());
            append_resolved(|| self.append_remote_write(version, &decoded))
        })?;
        commit.await.map_err(|e| self.store_error(&e))?;
        Ok(outcome)
    }

    fn append_remote_write(
        &self,
        version: Version,
        decoded: &[u8],
    ) -> Result<(WriteOutcome, Commit), Rejection> {
        let mut mapper = Mapper::new(&*self.sinks.series, &self.described, &self.limits);
        match version {
            Version::V1 => mapper.map_v1(decoded)?,
            Version::V2 => mapper.map_v2(decoded)?,
        }
        let (batch, refused) = mapper.finish();
        let (mut outcome, commit) =
            self.sinks.series.append(&batch).map_err(|e| self.store_error(&e))?;
        outcome.merge(refused);
        Ok((outcome, commit))
    }
}

#[cfg(test)]
mod tests;
