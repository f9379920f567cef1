//! Amazon's binary event stream, written by hand: nothing of what reads it is used.

/// A frame of these headers, all of them texts, and this payload.
pub fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    for (name, value) in headers {
        packed.push(u8::try_from(name.len()).unwrap());
        packed.extend_from_slice(name.as_bytes());
        packed.push(7);
        packed.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        packed.extend_from_slice(value.as_bytes());
    }
    let length = u32::try_from(packed.len() + payload.len() + 16).unwrap();
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&packed);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

/// The frame of an event.
pub fn event(name: &str, payload: &str) -> Vec<u8> {
    frame(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// The frame of an exception.
pub fn exception(kind: &str, payload: &str) -> Vec<u8> {
    frame(&[(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")], payload)
}

/// The checksum of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_checksum_is_the_known_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
