//! Makes up an image and a sound: small, valid, and the same for the same request.

use super::dice::Dice;

/// The side of an image, in pixels.
const SIDE: usize = 16;

/// Samples of a sound in a second.
const RATE: u32 = 8_000;

/// The most seconds of a sound.
const LONGEST: usize = 20;

/// A PNG of one colour that the dice choose, RGB.
pub(super) fn png(dice: &mut Dice) -> Vec<u8> {
    let [red, green, blue, ..] = dice.next().to_le_bytes();
    let mut raw = Vec::with_capacity((SIDE * 3 + 1) * SIDE);
    for _ in 0..SIDE {
        raw.push(0);
        raw.extend([red, green, blue].iter().cycle().take(SIDE * 3));
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let side = u32::try_from(SIDE).unwrap_or_default().to_be_bytes();
    chunk(&mut out, b"IHDR", &[&side[..], &side[..], &[8, 2, 0, 0, 0]].concat());
    chunk(&mut out, b"IDAT", &stored(&raw));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
    let start = out.len();
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    let sum = crc(&out[start..]);
    out.extend(sum.to_be_bytes());
}

/// A zlib stream of one stored block, which need not be compressed.
fn stored(raw: &[u8]) -> Vec<u8> {
    let length = u16::try_from(raw.len()).unwrap_or_default();
    let mut out = vec![0x78, 0x01, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(raw);
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

/// PNG's checksum (CRC-32).
fn crc(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    !sum
}

/// A tone for each word, a fifth of a second long, as samples of 16 bits.
pub(super) fn samples(words: usize, dice: &mut Dice) -> Vec<u8> {
    let each = RATE / 5;
    let words = words.clamp(1, LONGEST * 5);
    let mut out = Vec::with_capacity(words * each as usize * 2);
    for _ in 0..words {
        // A square wave of 200 to 600 Hz.
        let half = RATE / (2 * (200 + u32::try_from(dice.below(400)).unwrap_or_default()));
        for n in 0..each {
            let sample: i16 = if (n / half).is_multiple_of(2) { 4_000 } else { -4_000 };
            out.extend(sample.to_le_bytes());
        }
    }
    out
}

/// Samples as a WAV file.
pub(super) fn wav(samples: &[u8]) -> Vec<u8> {
    let length = u32::try_from(samples.len()).unwrap_or_default();
    let mut out = Vec::with_capacity(samples.len() + 44);
    out.extend_from_slice(b"RIFF");
    out.extend((36 + length).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    for field in [16u32, 0x0001_0001, RATE, RATE * 2, 0x0010_0002] {
        out.extend(field.to_le_bytes());
    }
    out.extend_from_slice(b"data");
    out.extend(length.to_le_bytes());
    out.extend_from_slice(samples);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_their_standards() {
        assert_eq!(crc(b"IEND"), 0xae42_6082);
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert!(stored(b"Wikipedia").ends_with(&0x11e6_0398_u32.to_be_bytes()));
    }

    #[test]
    fn a_sound_is_as_long_as_its_words_within_bounds() {
        let dice = || Dice::of_text("x");
        assert_eq!(samples(3, &mut dice()).len(), 3 * 3_200);
        assert_eq!(samples(100_000, &mut dice()).len(), LONGEST * 16_000);
        let file = wav(&samples(1, &mut dice()));
        assert_eq!((&file[..4], &file[36..40], file.len()), (&b"RIFF"[..], &b"data"[..], 44 + 3_200));
    }
}
