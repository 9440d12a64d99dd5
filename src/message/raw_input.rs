use bytes::Bytes;
use bytestring::ByteString;

use crate::engine::Data;

/// One message as the client sent it, before anybody decoded it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawInput(Data);

impl RawInput {
    /// The message as text, if it came as text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.text().map(|text| &**text)
    }

    /// The bytes of the message, text or binary.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Data::Text(text) => text.as_bytes(),
            Data::Binary(bytes) => bytes,
        }
    }

    /// Whether the client sent text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.0, Data::Text(_))
    }

    /// At most so many of its first bytes, in memory of their own.
    pub(crate) fn cut(&self, bytes: usize) -> Self {
        Self(match &self.0 {
            Data::Text(text) => {
                let mut ends = (0..=bytes.min(text.len())).rev();
                let end = ends.find(|end| text.is_char_boundary(*end));
                Data::Text(ByteString::from(&text[..end.unwrap_or(0)]))
            }
            Data::Binary(data) => {
                Data::Binary(Bytes::copy_from_slice(&data[..bytes.min(data.len())]))
            }
        })
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0
    }

    pub(super) fn text(&self) -> Option<&ByteString> {
        match &self.0 {
            Data::Text(text) => Some(text),
            Data::Binary(_) => None,
        }
    }
}

impl From<Data> for RawInput {
    fn from(data: Data) -> Self {
        Self(data)
    }
}

impl From<String> for RawInput {
    fn from(text: String) -> Self {
        Self(Data::Text(text.into()))
    }
}

impl From<&str> for RawInput {
    fn from(text: &str) -> Self {
        Self(Data::Text(ByteString::from(text)))
    }
}

impl From<Bytes> for RawInput {
    fn from(bytes: Bytes) -> Self {
        Self(Data::Binary(bytes))
    }
}

/// Shows kind and length only: what clients send does not belong into logs.
impl std::fmt::Debug for RawInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_text() { "text" } else { "binary" };
        write!(f, "RawInput({kind}, {} bytes)", self.as_bytes().len())
    }
}
