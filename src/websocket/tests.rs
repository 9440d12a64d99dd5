//! What the codec promises, one fact a test.

mod decoding;
mod encoding;
mod strictness;
