//! Protocol buffers, as far as an export needs them: fields written one after the other.

/// A message under construction.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Forgets its fields and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.raw_varint(u64::from(field) << 3 | wire);
    }

    /// uint64, uint32, bool, enum.
    pub(super) fn uint(&mut self, field: u32, value: u64) -> &mut Self {
        self.tag(field, VARINT);
        self.raw_varint(value);
        self
    }

    /// int64, int32.
    pub(super) fn int(&mut self, field: u32, value: i64) -> &mut Self {
        self.uint(field, value.cast_unsigned())
    }

    /// fixed64.
    pub(super) fn fixed(&mut self, field: u32, value: u64) -> &mut Self {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// double.
    pub(super) fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.fixed(field, value.to_bits())
    }

    /// string.
    pub(super) fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.length_delimited(field, value.as_bytes())
    }

    /// A message inside this one.
    pub(super) fn message(&mut self, field: u32, value: &Self) -> &mut Self {
        self.length_delimited(field, &value.0)
    }

    fn length_delimited(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.tag(field, BYTES);
        self.raw_varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_the_format_says() {
        let mut inner = Message::new();
        inner.uint(1, 150);
        assert_eq!(inner.bytes(), [0x08, 0x96, 0x01]);
        let mut m = Message::new();
        m.text(2, "testing")
            .message(3, &inner)
            .int(16, -1)
            .fixed(4, 1)
            .double(5, 1.0);
        let mut expected = vec![0x12, 0x07];
        expected.extend_from_slice(b"testing");
        expected.extend_from_slice(&[0x1a, 0x03, 0x08, 0x96, 0x01]);
        expected.extend_from_slice(&[0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        expected.extend_from_slice(&[0x21, 1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[0x29, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(m.bytes(), expected);
    }
}
