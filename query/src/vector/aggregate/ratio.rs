//! Which series `limit_ratio` picks: as Prometheus does (`promql/engine.go`, `HashRatioSampler`),
//! so that panels keep their series. The labels are hashed as its `labels` package lays them out.

use model::Labels;

/// Whether a series is within a ratio of -1 to 1; a negative one is the complement from the other
/// end.
pub(super) fn is_in_ratio(labels: &Labels, ratio: f64) -> bool {
    let offset = hash_labels(labels) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

/// The hash of all names and values, each after its length (`model/labels`, `stringlabels`).
fn hash_labels(labels: &Labels) -> u64 {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < 255 => bytes.push(length),
            _ => {
                bytes.push(255);
                bytes.extend((text.len() as u32).to_le_bytes().into_iter().take(3));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes)
}

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

fn round(lane: u64, input: u64) -> u64 {
    let lane = lane.wrapping_add(input.wrapping_mul(PRIMES[1]));
    lane.rotate_left(31).wrapping_mul(PRIMES[0])
}

fn merge(hash: u64, lane: u64) -> u64 {
    (hash ^ round(0, lane)).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3])
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The 64-bit xxHash with seed zero (its specification: `xxhash_spec.md` of Cyan4973/xxHash).
fn xxh64(bytes: &[u8]) -> u64 {
    let stripes = bytes.chunks_exact(32);
    let mut rest = stripes.remainder();
    let mut hash = PRIMES[4];
    if bytes.len() >= 32 {
        let mut lanes =
            [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, 0_u64.wrapping_sub(PRIMES[0])];
        for stripe in stripes {
            for (lane, input) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word(input));
            }
        }
        let rotations = [1, 7, 12, 18];
        hash = (lanes.iter().zip(rotations))
            .fold(0, |hash: u64, (lane, by)| hash.wrapping_add(lane.rotate_left(by)));
        hash = lanes.into_iter().fold(hash, merge);
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((eight, after)) = rest.split_at_checked(8) {
        hash ^= round(0, word(eight));
        hash = hash.rotate_left(27).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        rest = after;
    }
    if let Some((four, after)) = rest.split_at_checked(4) {
        hash ^= word(four).wrapping_mul(PRIMES[0]);
        hash = hash.rotate_left(23).wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        rest = after;
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(PRIMES[4]);
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        for (text, expected) in [
            ("", 0xef46_db37_51d8_e999),
            ("a", 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
        ] {
            assert_eq!(xxh64(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn each_series_is_in_a_ratio_or_in_its_complement() {
        let labels =
            (0..100).map(|i| Labels::from_pairs([("__name__", "up"), ("i", &i.to_string())]));
        let mut picked = 0;
        for labels in labels {
            assert_ne!(is_in_ratio(&labels, 0.3), is_in_ratio(&labels, -0.7));
            assert!(is_in_ratio(&labels, 1.0) && is_in_ratio(&labels, -1.0));
            picked += usize::from(is_in_ratio(&labels, 0.3));
        }
        assert!((15..45).contains(&picked), "{picked}");
    }
}
