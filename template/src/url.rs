//! Escapes of URLs and base64, as Go has them (`net/url`, `encoding/base64`).

/// Go's `url.QueryEscape`.
pub(crate) fn query_escape(written: &str) -> String {
    let mut made = String::with_capacity(written.len());
    for byte in written.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                made.push(char::from(byte));
            }
            b' ' => made.push('+'),
            other => made.push_str(&format!("%{other:02X}")),
        }
    }
    made
}

/// Go's `url.QueryUnescape`. Bytes that are no text are replaced.
pub(crate) fn query_unescape(written: &str) -> Result<String, String> {
    let bytes = written.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = written.get(at + 1..at + 3);
                let is_hex = |digits: &&str| digits.bytes().all(|b| b.is_ascii_hexdigit());
                let code = digits
                    .filter(is_hex)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or_else(|| {
                        let end = (at + 3).min(written.len());
                        let shown = written.get(at..end).unwrap_or("%");
                        format!("invalid URL escape {shown:?}")
                    })?;
                out.push(code);
                at += 2;
            }
            byte => out.push(*byte),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The standard alphabet, padded.
pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = BASE64.get((group >> (18 - 6 * i)) as usize & 63).copied();
            out.push(if i <= chunk.len() { char::from(letter.unwrap_or(b'=')) } else { '=' });
        }
    }
    out
}

/// The decoded text, or the place of the first bad byte. Padding may be missing.
pub(crate) fn base64_decode(written: &str) -> Result<String, usize> {
    let body = written.trim_end_matches('=');
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    let (mut group, mut bits) = (0u32, 0);
    for (i, byte) in body.bytes().enumerate() {
        let value = BASE64.iter().position(|letter| *letter == byte).ok_or(i)?;
        group = group << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    if body.len() % 4 == 1 {
        return Err(body.len() - 1);
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
