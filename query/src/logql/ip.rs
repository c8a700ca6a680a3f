//! `ip()`: addresses, ranges of them and networks, found anywhere in a line or in a label.

use std::net::IpAddr;

/// Addresses of one family, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    first: IpAddr,
    last: IpAddr,
}

impl IpRange {
    /// Reads an address, `first-last`, or `network/bits`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let range = if let Ok(address) = text.parse() {
            Some(IpRange { first: address, last: address })
        } else if let Some((network, bits)) = text.split_once('/') {
            network_range(network, bits)
        } else {
            text.split_once('-').and_then(|(first, last)| {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                Some(IpRange { first, last })
            })
        };
        range
            .filter(|range| {
                range.first <= range.last && range.first.is_ipv4() == range.last.is_ipv4()
            })
            .ok_or_else(|| format!("ip: invalid pattern: {text:?}"))
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    /// Whether any address in the range is written somewhere in the line.
    pub fn is_in_line(&self, line: &str) -> bool {
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let window = &bytes[at..];
            let is_part: fn(&u8) -> bool = if begins_v4(window) {
                |b| b.is_ascii_digit() || *b == b'.'
            } else if begins_v6(window) {
                |b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')
            } else {
                at += 1;
                continue;
            };
            let length = window.iter().take_while(|b| is_part(b)).count();
            // The bytes are ASCII, so both ends are boundaries of characters.
            if let Some(Ok(address)) = line.get(at..at + length).map(str::parse)
                && self.contains(address)
            {
                return true;
            }
            at += length + 1;
        }
        false
    }
}

fn network_range(network: &str, bits: &str) -> Option<IpRange> {
    let network: IpAddr = network.parse().ok()?;
    let has_zero = bits.len() > 1 && bits.starts_with('0');
    if bits.is_empty() || has_zero || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bits: u32 = bits.parse().ok()?;
    match network {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = u32::from(address) & !host;
            (bits <= 32).then(|| IpRange {
                first: IpAddr::V4(first.into()),
                last: IpAddr::V4((first | host).into()),
            })
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = u128::from(address) & !host;
            (bits <= 128).then(|| IpRange {
                first: IpAddr::V6(first.into()),
                last: IpAddr::V6((first | host).into()),
            })
        }
    }
}

/// A digit with a dot after one to three characters.
fn begins_v4(window: &[u8]) -> bool {
    matches!(window, [digit, a, b, c, ..]
        if digit.is_ascii_digit() && [a, b, c].into_iter().any(|byte| *byte == b'.'))
}

/// One to four hexadecimal digits and a colon, or two colons and a digit.
fn begins_v6(window: &[u8]) -> bool {
    if let [b':', b':', digit, ..] = window {
        return digit.is_ascii_hexdigit();
    }
    let digits = window.iter().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
    digits > 0 && window.get(digits) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lines() {
        for (range, line, expected) in [
            ("192.168.4.5", "from 192.168.4.5:8080 to", true),
            ("192.168.4.5", "from 192.168.4.55", false),
            ("192.168.4.5-192.168.4.20", "x=192.168.4.20", true),
            ("192.168.4.5-192.168.4.20", "x=192.168.4.21", false),
            ("192.168.4.0/24", "vpn 192.168.5.1 192.168.4.9 ok", true),
            ("0.0.0.0/0", "version 1.2.3", false),
            ("::1", "at ::1 now", true),
            ("2001:db8::/32", "[2001:db8::7]:80", true),
            ("2001:db8::/32", "[2001:db9::7]:80", false),
            ("::/0", "10.0.0.1", false),
            ("10.0.0.0/8", "", false),
            ("10.0.0.1", "\u{e9}10.0.0.1\u{e9}", true),
        ] {
            assert_eq!(IpRange::parse(range).unwrap().is_in_line(line), expected, "{range} {line}");
        }
        for bad in ["", "x", "1.2.3.4/33", "1.2.3.4-::1", "1.2.3.5-1.2.3.4", "1.2.3.4/"] {
            assert!(IpRange::parse(bad).unwrap_err().contains("invalid pattern"), "{bad}");
        }
    }
}
