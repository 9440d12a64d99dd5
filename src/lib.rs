//! Primacron: a tower layer for real-time messages.

#[allow(dead_code, unused_imports, reason = "the rooms above use it")]
mod engine;

pub use engine::{CloseReason, DecodeError, Transport};
