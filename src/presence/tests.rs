//! The handle and its task against a store in this process.
