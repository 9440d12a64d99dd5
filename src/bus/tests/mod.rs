//! The bus in memory, its entries, and a model of its core.

mod backlog;
mod cast;
mod core;
mod entries;
mod line;
mod marks;
mod memory;
mod model;
#[cfg(feature = "redis")]
mod redis;
mod task;
