//! The protobuf encoding: records of a field number and a value, one after the other.

/// Bytes that are no protobuf, or not of the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

/// A value as it travels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Record<'a> {
    Varint(u64),
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes; no field we read has them.
    Fixed,
}

/// Reads the records of one message. After an error it ends.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn record(&mut self) -> Result<(u32, Record<'a>), Malformed> {
        let (tag, rest) = varint(self.rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed("illegal tag"))?;
        if number == 0 {
            return Err(Malformed("illegal tag 0"));
        }
        let fixed = |size: usize| rest.get(size..).ok_or(TRUNCATED);
        let (record, rest) = match tag & 7 {
            0 => {
                let (value, rest) = varint(rest)?;
                (Record::Varint(value), rest)
            }
            1 => (Record::Fixed, fixed(8)?),
            2 => {
                let (length, rest) = varint(rest)?;
                let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
                let (bytes, rest) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
                (Record::Bytes(bytes), rest)
            }
            5 => (Record::Fixed, fixed(4)?),
            _ => return Err(Malformed("illegal wireType")),
        };
        self.rest = rest;
        Ok((number, record))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Record<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

const TRUNCATED: Malformed = Malformed("unexpected EOF");

/// A number in groups of seven bits, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(if bytes.len() < 10 { TRUNCATED } else { Malformed("integer overflow") })
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("field contains invalid UTF-8"))
}
