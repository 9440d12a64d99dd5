//! Primacron: a tower layer for real-time messages.
