use bytestring::ByteString;

use super::{
    Args, Codec, DecodeFailure, EncodeError, Envelope, Outgoing, RawInput, WireKind, args::Repr,
};
use crate::engine::Data;

/// Messages without an envelope: every text and every binary message is the event `message` with
/// itself as the only argument, and goes out the same way.
///
/// Names of events do not travel; answers to messages do not exist.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a codec without settings is its own name"
)]
pub struct Raw;

impl Codec for Raw {
    fn decode(&self, raw: &RawInput) -> Result<Envelope, DecodeFailure> {
        Ok(Envelope {
            event: ByteString::from_static("message"),
            args: Args(match raw.data() {
                Data::Text(text) => Repr::Text(text.clone()),
                Data::Binary(bytes) => Repr::Binary(bytes.clone()),
            }),
            id: None,
        })
    }

    fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
        let args = message.args();
        match args.as_args().map(|args| &args.0) {
            Some(Repr::Text(text)) => out.extend_from_slice(text.as_bytes()),
            Some(Repr::Binary(bytes)) => {
                out.extend_from_slice(bytes);
                return Ok(WireKind::Binary);
            }
            _ => out.extend_from_slice(sole_text(&args)?.as_bytes()),
        }
        Ok(WireKind::Text)
    }
}

/// The only argument, which must be a text.
fn sole_text(args: &super::OutgoingArgs<'_>) -> Result<String, EncodeError> {
    let text = serde_json::to_string(args).map_err(EncodeError::new)?;
    let [only]: [String; 1] = serde_json::from_str(&text)
        .map_err(|_| EncodeError::new("a raw message is one text or one run of bytes"))?;
    Ok(only)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::IntoArgs;

    fn round_trip(raw: &RawInput) -> (Vec<u8>, WireKind) {
        let envelope = Raw.decode(raw).unwrap();
        assert_eq!(&*envelope.event, "message");
        let mut out = Vec::new();
        let kind = Raw.encode(&Outgoing::new("message", envelope.args.as_args()), &mut out);
        (out, kind.unwrap())
    }

    #[test]
    fn text_stays_text_and_binary_stays_binary() {
        assert_eq!(
            round_trip(&"{not json".into()),
            (b"{not json".to_vec(), WireKind::Text)
        );
        let bytes = Bytes::from_static(&[0, 255, 30]);
        assert_eq!(
            round_trip(&bytes.into()),
            (vec![0, 255, 30], WireKind::Binary)
        );
    }

    #[test]
    fn a_single_string_can_be_sent() {
        let mut out = Vec::new();
        let args = ("hi",);
        Raw.encode(&Outgoing::new("message", args.as_args()), &mut out)
            .unwrap();
        assert_eq!(out, b"hi");
    }

    #[test]
    fn anything_else_is_refused() {
        let args = (1, 2);
        let sent = Raw.encode(&Outgoing::new("message", args.as_args()), &mut Vec::new());
        assert!(sent.is_err());
    }
}
