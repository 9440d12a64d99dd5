//! What a node says about a session.

use serde_json::Value;

/// The answer to `find`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Find {
    /// On this node.
    Found(String),
    NotFound,
    Uncertain,
}

impl Find {
    pub(super) fn of(args: &[Value]) -> Option<Self> {
        let words: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
        Some(match words[..] {
            ["found", node] => Self::Found(node.to_owned()),
            ["not_found"] => Self::NotFound,
            ["uncertain"] => Self::Uncertain,
            _ => return None,
        })
    }

    pub(crate) fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }
}
