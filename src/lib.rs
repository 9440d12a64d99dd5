//! Primacron: a tower layer for real-time messages.

mod config;
mod connection;
mod engine;
mod error;
mod message;
mod notice;
mod websocket;

pub use engine::{CloseReason, DecodeError, Transport};
