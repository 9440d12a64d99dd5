//! The protocol as its users meet it: every case of Engine.IO's own test suite and the corners
//! beyond, over real sockets.
//!
//! A test names its case: `T8` is the eighth of the suite, `E24` one of the corners. Only what is
//! about time runs with the suite's heartbeat of 300 and 200 ms; everything else has one that no
//! slow machine meets, so that a connection that closes closes for the reason under test.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod around;
mod close;
mod handshake;
mod heartbeat;
mod http_surface;
mod origin;
mod polling;
mod shutdown;
mod upgrade;
mod websocket;
