use std::{pin::Pin, sync::Arc};

use crate::{
    connection::{Connection, Endpoint},
    engine::CloseReason,
    message::Outlet as _,
};

/// Says whether a connection is answered.
pub(crate) type Listing = Pin<Box<dyn Future<Output = bool> + Send>>;

/// From now on everybody finds the connection; an older one of the same session makes way.
pub(super) fn register(connection: &Arc<Connection>) {
    let registry = &connection.endpoint().registry;
    if let Some(older) = connection.endpoint().enter(connection) {
        older.close(CloseReason::Superseded);
    }
    if registry.is_closing() {
        // The node went away while the websocket was on its way.
        connection.close(CloseReason::Shutdown);
    }
}

/// Lets the other nodes know of a connection. The future is ready when they do, or when it was
/// waited long enough.
pub(super) fn list(
    endpoint: &Endpoint,
    connection: &Arc<Connection>,
    close: bool,
) -> Option<Listing> {
    let presence = endpoint.presence.get()?.clone();
    let storing = presence.connect(connection.user());
    let connection = Arc::clone(connection);
    Some(Box::pin(async move {
        let accepted = presence.stored(storing).await || !presence.is_required();
        if !accepted && close {
            connection.close(CloseReason::ForcedClose);
        } else if !accepted {
            presence.disconnect(connection.user());
        }
        accepted
    }))
}
