use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Handle;
use crate::{engine::CloseReason, message::Outlet as _};

/// A year: no clock overflows with it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// # The end of a node
impl Handle {
    /// Empties the node: new connections are answered with 503, the clients that are there are
    /// closed one by one, spread over three quarters of the window, and what is queued for them is
    /// sent. Ready when all are gone, or when the window is over, and the other nodes know; the
    /// listener is closed after that. A node that was drained stays so.
    ///
    /// While clients leave, the node still takes what others send to them; what came too late to be
    /// delivered is answered so.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the node stays half empty; drain it again.
    pub async fn drain(&self, window: Duration) {
        let node = self.owner.node();
        let window = window.min(LONGEST);
        node.registry.begin_close_over(window * 3 / 4);
        if let Some(presence) = node.presence.get() {
            presence.drain();
        }
        let start = Instant::now();
        let mut connections = Vec::new();
        node.registry
            .for_each(|connection| connections.push(Arc::clone(connection)));
        let step = (window * 3 / 4) / u32::try_from(connections.len().max(1)).unwrap_or(u32::MAX);
        for (index, connection) in (0..).zip(connections) {
            sleep_until(start + step * index).await;
            connection.close(CloseReason::Shutdown);
        }
        drop(timeout_at(start + window, node.registry.emptied()).await);
        if let Some(reach) = node.routes.reach() {
            reach.bus.finish().await;
        }
        if let Some(presence) = node.presence.get() {
            presence.finish().await;
        }
    }

    /// Waits for a signal and then [`drain`](Self::drain)s the node: what axum's
    /// `with_graceful_shutdown` takes, so that the clients leave first and the listener closes last.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # async fn example(app: axum::Router, handle: primacron::Handle) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// let signal = async { drop(tokio::signal::ctrl_c().await) };
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(handle.drain_on(signal, Duration::from_secs(5)))
    ///     .await
    /// # }
    /// ```
    pub fn drain_on<S>(
        &self,
        signal: S,
        window: Duration,
    ) -> impl Future<Output = ()> + Send + use<S>
    where
        S: Future<Output = ()> + Send,
    {
        let handle = self.clone();
        async move {
            signal.await;
            handle.drain(window).await;
        }
    }
}
