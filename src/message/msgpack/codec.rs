use bytes::Bytes;
use bytestring::ByteString;
use serde::Serialize;

use super::{
    Array,
    walk::{Fault, Head, Walk},
};
use crate::{
    engine::Data,
    message::{
        Args, Codec, DecodeFailure, EncodeError, Envelope, Outgoing, RawInput, WireKind, args::Repr,
    },
};

/// Messages as MessagePack, in binary frames (feature `msgpack`).
///
/// The envelope is that of [`Json`](crate::Json): a map of `event`, `args` and `id`, of which the
/// last two may be missing; without `event` the map is the only argument of the event `message`.
/// Answers are `{id, args}` or `{id, error}`. Types look as they do in JSON: structs are maps, and
/// what serde writes as a text for people, such as an address, is a text.
///
/// Other than in JSON:
///
/// - Bytes travel as bytes, and are read with what serde takes for bytes.
/// - An argument list that is nested more than 128 deep is refused at once.
/// - Integers may be written in any width; an `id` is one that is not below zero.
/// - Keys of maps may be of any kind; those of the envelope that are no text mean nothing.
/// - A text frame is no message: `error::json`, as are bytes that are not MessagePack.
///
/// Extensions pass through the codec; a type must know how to read them. Where arguments of this
/// format are sent by another codec, bytes become what that makes of them (a list of numbers in
/// JSON), and extensions cannot be sent.
///
/// ```
/// use primacron::{Args, MsgPack, PrimacronLayer, User};
///
/// let layer = PrimacronLayer::in_memory()
///     .codec(MsgPack)
///     .validate("chat", |args: &Args, _: &User| args.get::<&str>(0).is_ok());
/// # drop(layer);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a codec without settings is its own name"
)]
pub struct MsgPack;

impl Codec for MsgPack {
    fn decode(&self, raw: &RawInput) -> Result<Envelope, DecodeFailure> {
        let Data::Binary(bytes) = raw.data() else {
            return Err(DecodeFailure::malformed("not binary"));
        };
        Fields::read(bytes)?.into_envelope(bytes)
    }

    fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
        out.push(PAIR);
        match (message.event(), message.id()) {
            (Some(event), _) => put(out, &("event", event))?,
            (None, id) => put(out, &("id", id))?,
        }
        if let Some(error) = message.error() {
            put(out, &("error", error))?;
            return Ok(WireKind::Binary);
        }
        let args = message.args();
        if let Some(Repr::MsgPack(array)) = args.as_args().map(|args| &args.0) {
            put_value(out, "args")?;
            out.extend_from_slice(array.bytes());
        } else {
            put(out, &("args", args))?;
        }
        Ok(WireKind::Binary)
    }
}

/// A map of two.
const PAIR: u8 = 0x82;

/// Writes a key and its value.
fn put(out: &mut Vec<u8>, (key, value): &(&str, impl Serialize)) -> Result<(), EncodeError> {
    put_value(out, key)?;
    put_value(out, value)
}

fn put_value(out: &mut Vec<u8>, value: impl Serialize) -> Result<(), EncodeError> {
    let mut serializer = rmp_serde::Serializer::new(out)
        .with_struct_map()
        .with_human_readable();
    value.serialize(&mut serializer).map_err(EncodeError::new)
}

/// What an envelope is made of, each value as its bytes.
#[derive(Default)]
struct Fields<'a> {
    event: Option<&'a [u8]>,
    args: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    /// Why this is no message.
    fault: Option<&'static str>,
}

impl<'a> Fields<'a> {
    /// Walks over the message, once.
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeFailure> {
        let mut walk = Walk::new(bytes);
        let mut fields = Self::default();
        if let Ok(Head::Map(pairs)) = head(bytes) {
            walk.head().map_err(malformed)?;
            for _ in 0..pairs {
                let key = walk.value().map_err(malformed)?;
                let value = walk.value().map_err(malformed)?;
                fields.put(key, value);
            }
        } else {
            walk.value().map_err(malformed)?;
            fields.fault = Some("not a map");
        }
        match (walk.rest(), fields.fault) {
            ([], None) => Ok(fields),
            ([], Some(fault)) => Err(DecodeFailure::invalid(fault)),
            _ => Err(DecodeFailure::malformed("more than one value")),
        }
    }

    fn put(&mut self, key: &'a [u8], value: &'a [u8]) {
        let slot = match Walk::new(key).head() {
            Ok(Head::Text("event")) => &mut self.event,
            Ok(Head::Text("args")) => &mut self.args,
            Ok(Head::Text("id")) => &mut self.id,
            _ => return,
        };
        if slot.replace(value).is_some() {
            self.fault = Some("a key of the envelope twice");
        }
    }

    fn into_envelope(self, bytes: &Bytes) -> Result<Envelope, DecodeFailure> {
        let id = match self.id.map(head) {
            None => None,
            Some(Ok(Head::Unsigned(id))) => Some(id),
            Some(_) => return Err(DecodeFailure::invalid("id is no unsigned integer")),
        };
        let Some(event) = self.event else {
            let args = Args(Repr::MsgPack(only(bytes)));
            let event = ByteString::from_static("message");
            return Ok(Envelope { event, args, id });
        };
        let Ok(Head::Text(event)) = head(event) else {
            return Err(DecodeFailure::invalid("event is no text"));
        };
        let args = match self.args.map(|args| (args, head(args))) {
            None => Repr::Empty,
            Some((args, Ok(Head::Array(_)))) => Repr::MsgPack(Array::new(bytes.slice_ref(args))),
            Some(_) => return Err(DecodeFailure::invalid("args is not an array")),
        };
        let event = ByteString::try_from(bytes.slice_ref(event.as_bytes()));
        Ok(Envelope {
            event: event.map_err(|_| malformed(Fault::Text))?,
            args: Args(args),
            id,
        })
    }
}

fn head(value: &[u8]) -> Result<Head<'_>, Fault> {
    Walk::new(value).head()
}

fn malformed(fault: Fault) -> DecodeFailure {
    DecodeFailure::Malformed(fault.to_string())
}

/// An array of this value alone.
fn only(value: &[u8]) -> Array {
    let mut array = Vec::with_capacity(value.len() + 1);
    array.push(0x91);
    array.extend_from_slice(value);
    Array::new(array.into())
}
