//! The bus in memory, its entries, and a model of its core.

mod backlog;
mod cast;
mod entries;
mod memory;
mod model;
#[cfg(feature = "redis")]
mod redis;
