//! Primacron: a tower layer for real-time messages.

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the transport that uses the codec is not there yet"
    )
)]
mod websocket;
