use std::sync::Arc;

use super::Registry;
use crate::{config::Settings, message::Validators};

/// What all connections of a layer share.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) settings: Settings,
    pub(crate) validators: Validators,
    pub(crate) registry: Arc<Registry>,
}
