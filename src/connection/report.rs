//! What application and client hear of a message's fate.

use std::{error::Error, sync::Arc};

use super::{Connection, calls::Called};
use crate::{
    error::PublicError,
    message::{
        Cause, DecodeFailure, Encoded, Frame, IntoArgs, Outgoing, Outlet as _, Refused, Reply,
        ReplyBody, SendError, is_reserved,
    },
    notice::Notice,
};

/// Bytes of text that a client hears at most.
const TEXT: usize = 256;

/// What a client hears of a failure that was not made for the public.
const FAILED: &str = "the message could not be handled";

/// What a client hears of a message that is none.
const NOT_A_MESSAGE: &str = "not a message";

/// The error of a handler that panicked.
pub(super) fn panicked() -> Box<dyn Error + Send + Sync> {
    "handler panicked".into()
}

/// The handler answered.
pub(super) fn answered(connection: &Connection, called: &Called, reply: Reply) {
    let (name, args) = match &reply.body {
        ReplyBody::None => (None, None),
        ReplyBody::Args(args) => (Some(event_of(connection, called)), Some(args.as_args())),
        ReplyBody::Event(name, args) => (Some(&**name), Some(args.as_args())),
    };
    let message = match (called.id, name, args) {
        (Some(id), _, args) => Outgoing::answer(id, args.unwrap_or_else(|| ().as_args())),
        (None, Some(name), Some(args)) => Outgoing::new(name, args),
        (None, _, _) => return,
    };
    if message.event().is_some_and(is_reserved) {
        return failed(connection, called, Box::new(SendError::ReservedEvent));
    }
    let push = |answer: &Encoded<'_>| connection.push_answer(answer);
    let sent = Frame::encode_with(connection.codec(), &message, push);
    if let Err(error) = sent.unwrap_or_else(|error| Err(SendError::Encode(error))) {
        failed(connection, called, Box::new(error));
    }
}

fn event_of<'a>(connection: &'a Connection, called: &Called) -> &'a str {
    connection.endpoint().validators.name(called.event)
}

/// The handler failed.
pub(super) fn failed(
    connection: &Connection,
    called: &Called,
    error: Box<dyn Error + Send + Sync>,
) {
    let error: Arc<dyn Error + Send + Sync> = error.into();
    let event = event_of(connection, called);
    let text = PublicError::text_in(&*error).unwrap_or(FAILED);
    tell(connection, called.id, "error::handler", Some(event), text);
    connection.notify(Notice::Handler {
        event: event.to_owned(),
        error,
        user: connection.user().clone(),
    });
}

/// Codec or validator refused.
pub(super) fn refused(connection: &Connection, refused: Refused) {
    let user = connection.user().clone();
    let raw = refused.raw;
    let notice = match refused.cause {
        Cause::Undecodable(DecodeFailure::Malformed(error)) => Notice::Json { raw, user, error },
        Cause::Undecodable(DecodeFailure::Invalid(error)) => Notice::Invalid { raw, user, error },
        Cause::Invalid { event, refusal } => Notice::Validation {
            event: event.into(),
            error: refusal,
            raw,
            user,
        },
    };
    let (event, text) = match &notice {
        Notice::Validation { event, error, .. } => (Some(&**event), error.text()),
        _ => (None, NOT_A_MESSAGE),
    };
    tell(connection, refused.id, notice.name(), event, text);
    connection.notify(notice);
}

/// Tells the client: as an event, unless the layer keeps silent, and as the answer that it
/// wanted.
fn tell(connection: &Connection, id: Option<u64>, name: &str, event: Option<&str>, text: &str) {
    let text = cut(text, TEXT);
    if connection.endpoint().settings.report_to_client {
        let event = event.map(|event| cut(event, TEXT));
        let args = event.map(|event| (event, text));
        let args = args
            .as_ref()
            .map_or_else(|| ().as_args(), IntoArgs::as_args);
        // A codec that has no events cannot say it, and a full queue drops it: so be it.
        if let Ok(frame) = Frame::encode(connection.codec(), &Outgoing::new(name, args)) {
            drop(connection.try_push(frame.volatile()));
        }
    }
    if let Some(id) = id {
        let push = |answer: &Encoded<'_>| drop(connection.push_answer(answer));
        // Text of our own and of validators, in the codec's own words.
        drop(Frame::encode_with(
            connection.codec(),
            &Outgoing::failure(id, text),
            push,
        ));
    }
}

/// The beginning of a text, at most so many bytes of it.
fn cut(text: &str, bytes: usize) -> &str {
    let boundaries = (0..=bytes.min(text.len())).rev();
    let end = boundaries
        .into_iter()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
