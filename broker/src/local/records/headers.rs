//! Headers as bytes: for each the length of its name, the name, the length of its value, the value. Lengths are LEB128,
//! so that a usual header costs two bytes more than it says.

/// Adds `headers` to `bytes`.
pub(crate) fn encode<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>, bytes: &mut Vec<u8>) {
    for (name, value) in headers {
        for part in [name.as_bytes(), value] {
            encode_len(part.len(), bytes);
            bytes.extend_from_slice(part);
        }
    }
}

/// The headers in `bytes`. It ends early where they are damaged.
pub(crate) fn decode(mut bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let name = std::str::from_utf8(part(&mut bytes)?).ok()?;
        Some((name, part(&mut bytes)?))
    })
}

fn encode_len(mut len: usize, bytes: &mut Vec<u8>) {
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut len = 0_usize;
    let mut shift = 0;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        len |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_they_were_written() {
        let long = vec![7_u8; 20_000];
        let headers: [(&str, &[u8]); 4] = [("ce_id", b"1"), ("", b""), ("ce_id", b"again"), ("long", &long)];
        let mut bytes = Vec::new();
        encode(headers.into_iter(), &mut bytes);
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), headers);
    }

    #[test]
    fn damaged_bytes_end_early() {
        let mut bytes = Vec::new();
        encode([("a", &b"1"[..]), ("b", &b"2"[..])].into_iter(), &mut bytes);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).count() < 2, "cut at {cut}");
        }
        assert_eq!(decode(&[0xff; 32]).count(), 0);
    }
}
