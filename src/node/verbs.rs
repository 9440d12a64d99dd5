use std::borrow::Cow;

use tokio::time::Instant;

use super::{Handle, To, place::place_and_wait, route::Letter, send::said_sent, visit};
use crate::{
    bus::{Answer, Call, Gathered, NodeResult, Outcome, Sent, Target, Unreached, Wait},
    engine::CloseReason,
    message::{IntoArgs, Outlet as _, SendError, encode_event},
};

/// # Anybody, wherever he is connected
impl Handle {
    /// Delivers an event to one session, wherever it is connected, and says how far it got.
    ///
    /// It waits for that, and for nothing else: a queue that is full is treated by its
    /// [`QueuePolicy`](crate::QueuePolicy) at once, here as on other nodes. What is in a queue of
    /// this node when the time is over is [`Outcome::Enqueued`]; what another node has not answered
    /// is [`Outcome::Unknown`].
    ///
    /// Of two events that a caller sends to the same session one after the other, the first arrives
    /// first, as long as the session stays where it is.
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
        let node = self.owner.node();
        let frame = encode_event(node.codec(), event, &args)?;
        drop(args);
        if let Some(connection) = node.registry.session(account, session) {
            let until = Instant::now() + wait.at_most;
            let placed = place_and_wait(&connection, frame, wait.level, until);
            drop(connection);
            return Ok(placed.await);
        }
        let Some(reach) = self.reach() else {
            return Ok(self.alone(Outcome::NoSession, Outcome::Uncertain));
        };
        let letter = Letter::new(account, session, frame);
        Ok(node.routes.forward(reach, letter, wait).await)
    }

    /// Delivers an event to every session of an account, or to everybody, on all nodes, and says
    /// what became of it node by node. No node waits for another one, and none that is dead keeps it
    /// from the others. A connection whose queue is full is treated by its
    /// [`QueuePolicy`](crate::QueuePolicy).
    ///
    /// For everybody it goes to every node; for an account to those that have sessions of it, as
    /// the directory says.
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
        let to = to.into();
        let node = self.owner.node();
        let frame = encode_event(node.codec(), event, &args)?;
        drop(args);
        let mut own = Sent::default();
        visit(&node.registry, to, |connection| {
            own.count(connection.try_push(frame.clone()).is_ok());
        });
        let concerned = own != Sent::default();
        let call = |to| Call::Send {
            to,
            frame: frame.clone(),
        };
        Ok(self.gather(to, own, concerned, call, said_sent).await)
    }

    /// Closes connections, on all nodes, after what is queued for them was sent, and says how many
    /// there were, node by node. The reason shows up in their `disconnect` notices.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, those of this node are closed, and those of others may be.
    pub async fn close(
        &self,
        to: impl Into<To<'_>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Gathered<usize> {
        let (to, reason) = (to.into(), reason.into());
        let mut own = 0;
        visit(&self.owner.node().registry, to, |connection| {
            connection.close(CloseReason::Application(reason.clone()));
            own += 1;
        });
        let call = |to| Call::Close {
            to,
            reason: (*reason).into(),
        };
        self.gather(to, own, own > 0, call, said_closed).await
    }

    /// Asks all other nodes that are concerned, and puts their answers behind our own.
    async fn gather<T>(
        &self,
        to: To<'_>,
        own: T,
        concerned: bool,
        call: impl FnOnce(Target) -> Call,
        said: impl Fn(Result<Answer, Unreached>) -> Result<T, Unreached>,
    ) -> Gathered<T> {
        let mut gathered = Gathered {
            nodes: Vec::new(),
            complete: true,
        };
        let is_one = matches!(to, To::Session { .. });
        match self.reach() {
            Some(_) if is_one && concerned => {}
            Some(reach) => {
                let (answers, complete) = reach.ask_all(to, call).await;
                let answers = answers.into_iter().map(|(node, answer)| NodeResult {
                    node,
                    result: said(answer),
                });
                gathered.nodes.extend(answers);
                gathered.complete = complete;
            }
            None => gathered.complete = self.alone(true, false),
        }
        if concerned || !is_one || gathered.nodes.is_empty() {
            let own = NodeResult {
                node: self.node_id().into(),
                result: Ok(own),
            };
            gathered.nodes.insert(0, own);
        }
        gathered
    }

    /// What there is to say while there is nobody to ask: whether this node is the whole cluster.
    pub(super) fn alone<T>(&self, is: T, not_yet: T) -> T {
        if self.owner.node().shares_directory() {
            not_yet
        } else {
            is
        }
    }
}

/// What another node says of a [`Call::Close`].
fn said_closed(answer: Result<Answer, Unreached>) -> Result<usize, Unreached> {
    match answer {
        Ok(Answer::Closed(closed)) => Ok(closed),
        Ok(Answer::Forward(_) | Answer::Sent(_) | Answer::Fed(_)) => Err(Unreached::Unknown),
        Err(unreached) => Err(unreached),
    }
}
