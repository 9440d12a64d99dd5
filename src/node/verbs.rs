use std::borrow::Cow;

use super::{Handle, To};
use crate::{
    bus::{Gathered, NodeResult, Outcome, Refused, Sent, Wait},
    engine::CloseReason,
    message::{IntoArgs, Outlet as _, SendError, encode_event},
};

/// # Anybody, wherever he is connected
impl Handle {
    /// Delivers an event to one session, wherever it is connected, and says how far it got.
    ///
    /// # Errors
    ///
    /// [`SendError::ReservedEvent`] and [`SendError::Encode`]; everything else is an [`Outcome`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the event may have been delivered or not.
    pub async fn forward(
        &self,
        account: &str,
        session: &str,
        event: &str,
        args: impl IntoArgs,
        wait: Wait,
    ) -> Result<Outcome, SendError> {
        let _ = wait;
        let node = self.owner.node();
        let frame = encode_event(node.codec(), event, &args)?;
        let Some(connection) = node.registry.session(account, session) else {
            return Ok(Outcome::NoSession);
        };
        Ok(match connection.try_push(frame) {
            Ok(()) => Outcome::Enqueued,
            Err(SendError::Closed) => Outcome::Refused(Refused::Closing),
            Err(SendError::Separator) => Outcome::Refused(Refused::Unsendable),
            Err(_) => Outcome::Refused(Refused::QueueFull),
        })
    }

    /// Delivers an event to every session of an account, or to everybody, on all nodes, and says
    /// what became of it node by node. No node waits for another one.
    ///
    /// # Errors
    ///
    /// [`SendError::ReservedEvent`] and [`SendError::Encode`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, some nodes may have got it.
    pub async fn broadcast(
        &self,
        to: impl Into<To<'_>>,
        event: &str,
        args: impl IntoArgs,
    ) -> Result<Gathered<Sent>, SendError> {
        let sent = self.try_send(to, event, args)?;
        Ok(self.gathered(sent))
    }

    /// Closes connections, on all nodes, after what is queued for them was sent, and says how many
    /// there were, node by node. The reason shows up in their `disconnect` notices.
    pub async fn close(
        &self,
        to: impl Into<To<'_>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Gathered<usize> {
        let reason = CloseReason::Application(reason.into());
        let mut closed = 0;
        self.for_each(to.into(), |connection| {
            connection.close(reason.clone());
            closed += 1;
        });
        self.gathered(closed)
    }

    fn gathered<T>(&self, own: T) -> Gathered<T> {
        let own = NodeResult {
            node: self.node_id().into(),
            result: Ok(own),
        };
        Gathered {
            nodes: vec![own],
            complete: true,
        }
    }
}
