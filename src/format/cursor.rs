//! Reading and writing little-endian fields with every length checked.
//!
//! Numbers of fixed width are little-endian. A *varint* is LEB128 of a `u64` (as in DWARF and protocol buffers): 7 bits
//! a byte, lowest first, at most 10 bytes, in the shortest form only. *Zigzag* (protocol buffers) maps small negative
//! differences to small varints. A *text* is UTF-8 without control characters: a person may see it.

use crate::base::id::{ObjectId, SessionId};
use crate::base::time::Time;
use crate::format::error::{DecodeError, Reason};

type Result<T> = std::result::Result<T, DecodeError>;

/// Longest varint in bytes.
pub const VARINT_LEN_MAX: usize = 10;

/// Takes fields from the front of some bytes. Never reads beyond them and never allocates before a length is checked.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    object: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `object` names them in errors.
    pub fn new(object: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { object, bytes, at: 0 }
    }

    /// A reader of an object that must not be longer than `max`.
    pub fn limited(object: &'static str, bytes: &'a [u8], max: usize) -> Result<Reader<'a>> {
        let reader = Reader::new(object, bytes);
        if bytes.len() > max { Err(reader.error_at(max, Reason::Limit)) } else { Ok(reader) }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error at a position taken before.
    pub fn error_at(&self, offset: usize, reason: Reason) -> DecodeError {
        DecodeError { object: self.object, offset, reason }
    }

    /// An error here.
    pub fn error(&self, reason: Reason) -> DecodeError {
        self.error_at(self.at, reason)
    }

    /// Refuses with `reason`, at the field that began at `offset`, unless `holds`.
    pub fn check(&self, offset: usize, holds: bool, reason: Reason) -> Result<()> {
        if holds { Ok(()) } else { Err(self.error_at(offset, reason)) }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.bytes[self.at..].get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(self.error(Reason::Truncated)),
        }
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    /// Refuses bytes that are left over.
    pub fn finish(&self) -> Result<()> {
        self.check(self.at, self.remaining() == 0, Reason::Trailing)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(taken) => {
                self.at += N;
                Ok(*taken)
            }
            None => Err(self.error(Reason::Truncated)),
        }
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A varint in its shortest form.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        let start = self.at;
        let mut value = 0u64;
        for (i, &byte) in self.bytes[start..].iter().take(VARINT_LEN_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && i > 0;
                let overflow = i == VARINT_LEN_MAX - 1 && byte > 1;
                self.check(start, !overlong && !overflow, Reason::NotCanonical)?;
                self.at += i + 1;
                return Ok(value);
            }
        }
        let whole = self.remaining() >= VARINT_LEN_MAX;
        Err(self.error_at(start, if whole { Reason::NotCanonical } else { Reason::Truncated }))
    }

    /// A varint that is at least `min` and at most `max`.
    #[inline]
    pub fn varint_in(&mut self, min: u64, max: u64) -> Result<u64> {
        let start = self.at;
        let value = self.varint()?;
        self.check(start, value >= min, Reason::Value)?;
        self.check(start, value <= max, Reason::Limit)?;
        Ok(value)
    }

    /// A varint that fits 32 bits and lies in a range.
    #[inline]
    pub fn varint_u32(&mut self, min: u32, max: u32) -> Result<u32> {
        Ok(self.varint_in(u64::from(min), u64::from(max))? as u32)
    }

    /// A zigzag varint.
    #[inline]
    pub fn zigzag(&mut self) -> Result<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A varint count of things that take at least `item_len_min` bytes each (at least 1): what cannot be there is refused
    /// before anything is allocated for it.
    pub fn count(&mut self, max: usize, item_len_min: usize) -> Result<usize> {
        let start = self.at;
        let count = self.varint_in(0, max as u64)? as usize;
        self.check_count(start, count, item_len_min)?;
        Ok(count)
    }

    /// Refuses a count of things that cannot lie in what is left.
    pub fn check_count(&self, offset: usize, count: usize, item_len_min: usize) -> Result<()> {
        self.check(offset, count <= self.remaining() / item_len_min, Reason::Truncated)
    }

    /// A varint length and that many bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let len = self.varint_in(0, max as u64)? as usize;
        self.take(len)
    }

    /// A text of at most `max` bytes.
    pub fn text(&mut self, max: usize) -> Result<&'a str> {
        let start = self.at;
        let bytes = self.bytes(max)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(text),
            _ => Err(self.error_at(start, Reason::Value)),
        }
    }

    /// A time: seconds i64, nanoseconds u32.
    pub fn time(&mut self) -> Result<Time> {
        let start = self.at;
        let time = Time { s: self.i64()?, ns: self.u32()? };
        self.check(start, time.ns < NANOS, Reason::Value)?;
        Ok(time)
    }

    /// A sorted set of object names.
    pub fn object_ids(&mut self) -> Result<Vec<ObjectId>> {
        let count = self.count(usize::MAX, ObjectId::LEN)?;
        let mut ids: Vec<ObjectId> = Vec::with_capacity(count);
        for _ in 0..count {
            let id = ObjectId(self.array()?);
            self.check_ascends(ids.last(), &id, ObjectId::LEN)?;
            ids.push(id);
        }
        Ok(ids)
    }

    /// Refuses `next`, whose `len` bytes were just read, unless it is greater than `last`.
    pub fn check_ascends<T: Ord>(&self, last: Option<&T>, next: &T, len: usize) -> Result<()> {
        self.check(self.at.saturating_sub(len), last.is_none_or(|last| last < next), Reason::Order)
    }

    /// 0, or 1 and an object name.
    pub fn optional_id(&mut self) -> Result<Option<ObjectId>> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(ObjectId(self.array()?))),
            _ => Err(self.error_at(self.at - 1, Reason::Value)),
        }
    }

    /// A session's name.
    pub fn session(&mut self) -> Result<SessionId> {
        Ok(SessionId(self.array()?))
    }

    /// Eight magic bytes and a version.
    pub fn magic(&mut self, magic: &[u8; 8], version: u16) -> Result<()> {
        let found: [u8; 8] = self.array()?;
        self.check(self.at - 8, found == *magic, Reason::Magic)?;
        let found = self.u16()?;
        self.check(self.at - 2, found == version, Reason::Version)
    }
}

/// Nanoseconds of a second.
pub const NANOS: u32 = 1_000_000_000;

/// Length of a varint.
#[inline]
pub fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag varint.
#[inline]
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends a varint length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a text. What no decoder would take is mended rather than written: control characters become U+FFFD, and
/// beyond `max` bytes the text is cut.
pub fn put_text(out: &mut Vec<u8>, text: &str, max: usize) {
    if text.len() <= max && !text.chars().any(char::is_control) {
        return put_bytes(out, text.as_bytes());
    }
    let mut mended = String::new();
    for c in text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }) {
        if mended.len() + c.len_utf8() > max {
            break;
        }
        mended.push(c);
    }
    put_bytes(out, mended.as_bytes());
}

/// Appends a time.
pub fn put_time(out: &mut Vec<u8>, time: Time) {
    out.extend_from_slice(&time.s.to_le_bytes());
    out.extend_from_slice(&time.ns.to_le_bytes());
}

/// Appends a sorted set of object names.
pub fn put_object_ids(out: &mut Vec<u8>, ids: &[ObjectId]) {
    put_varint(out, ids.len() as u64);
    for id in ids {
        out.extend_from_slice(&id.0);
    }
}

/// Appends 0, or 1 and an object name.
pub fn put_optional_id(out: &mut Vec<u8>, id: Option<&ObjectId>) {
    out.push(u8::from(id.is_some()));
    if let Some(id) = id {
        out.extend_from_slice(&id.0);
    }
}

/// Appends magic bytes and a version.
pub fn put_magic(out: &mut Vec<u8>, magic: &[u8; 8], version: u16) {
    out.extend_from_slice(magic);
    out.extend_from_slice(&version.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::arbitrary;
    use proptest::prelude::*;

    fn read_varint(bytes: &[u8]) -> Result<u64> {
        let mut reader = Reader::new("test", bytes);
        let value = reader.varint()?;
        reader.finish().map(|()| value)
    }

    proptest! {
        #[test]
        fn a_varint_reads_back_and_has_its_length(value in arbitrary::number()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            prop_assert_eq!(read_varint(&bytes), Ok(value));
        }

        #[test]
        fn any_bytes_read_as_a_varint_are_the_one_spelling(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(value) = read_varint(&bytes) {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(again, bytes);
            }
        }

        #[test]
        fn a_zigzag_reads_back_and_small_ones_are_short(value: i64, small in -64..64i64) {
            for (value, most) in [(value, VARINT_LEN_MAX), (small, 1), (i64::MIN, VARINT_LEN_MAX), (i64::MAX, VARINT_LEN_MAX)] {
                let mut bytes = Vec::new();
                put_zigzag(&mut bytes, value);
                prop_assert!(bytes.len() <= most);
                prop_assert_eq!(Reader::new("test", &bytes).zigzag(), Ok(value));
            }
        }

        #[test]
        fn whatever_is_put_as_a_text_can_be_read(text: String, max in 0..40usize) {
            let mut bytes = Vec::new();
            put_text(&mut bytes, &text, max);
            let read = Reader::new("test", &bytes).text(max).unwrap().to_string();
            if text.len() <= max && !text.chars().any(char::is_control) {
                prop_assert_eq!(read, text);
            }
        }
    }

    #[test]
    fn longer_and_larger_varints_are_refused() {
        let reason = |bytes: &[u8]| read_varint(bytes).unwrap_err().reason;
        assert_eq!(reason(&[]), Reason::Truncated);
        assert_eq!(reason(&[0x80]), Reason::Truncated);
        assert_eq!(reason(&[0x80, 0]), Reason::NotCanonical);
        assert_eq!(reason(&[0xff, 0x80, 0]), Reason::NotCanonical);
        assert_eq!(read_varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));
        assert_eq!(reason(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Reason::NotCanonical);
        assert_eq!(reason(&[0xff; 11]), Reason::NotCanonical);
        assert_eq!(reason(&[0xff; 9]), Reason::Truncated);
    }

    #[test]
    fn control_characters_in_a_text_are_mended_when_written_and_refused_when_read() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, "a\x1b[31mb\u{85}", 100);
        assert_eq!(Reader::new("test", &bytes).text(100), Ok("a\u{fffd}[31mb\u{fffd}"));
        for bad in [&b"\x02a\n"[..], b"\x01\x7f", b"\x02\xc2\x85", b"\x01\xff"] {
            assert_eq!(Reader::new("test", bad).text(100).unwrap_err().reason, Reason::Value, "{bad:?}");
        }
        assert_eq!(Reader::new("test", b"\x03abc").text(2).unwrap_err().reason, Reason::Limit);
    }

    #[test]
    fn an_error_says_where_the_field_began() {
        let mut reader = Reader::new("test", &[1, 2, 3, 4, 5]);
        reader.u16().unwrap();
        let error = reader.u32().unwrap_err();
        assert_eq!((error.offset, error.reason), (2, Reason::Truncated));
        assert_eq!(error.to_string(), "test: ends too early at byte 2");
        assert_eq!(reader.take(usize::MAX).unwrap_err().reason, Reason::Truncated);
        assert_eq!(reader.finish().unwrap_err().reason, Reason::Trailing);
    }
}
