use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{
    Handle, To,
    fan::Fan,
    route::{Letter, Reach},
    visit,
};
use crate::{
    bus::{Answer, Call, Outcome, Refused, Sent, Target, Unreached, Wait},
    connection::Connection,
    message::{Frame, IntoArgs, Outlet as _, PushError, SendError, encode_event, push},
};

/// # Sending
///
/// Wherever the receivers are connected: those of this node at once, those of others through Redis.
impl Handle {
    /// Sends an event, waiting for those whose queue is full, and for what the other nodes say. No
    /// receiver waits for another one, but the caller waits for the slowest: put a timeout around it
    /// where that matters. On other nodes nobody waits for room in a queue: there it is as with
    /// [`try_send`](Self::try_send).
    ///
    /// # Errors
    ///
    /// [`SendError::ReservedEvent`] and [`SendError::Encode`]; who did not get it is counted in
    /// [`Sent::refused`], and the nodes that did not answer in [`Sent::unreached`], where all others
    /// together are one as long as this node has not begun.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, those with room have got it, and those on other nodes may have.
    pub async fn send(
        &self,
        to: impl Into<To<'_>>,
        event: &str,
        args: impl IntoArgs,
    ) -> Result<Sent, SendError> {
        let to = to.into();
        let node = self.owner.node();
        if let Some(connection) = self.only(to) {
            let frame = encode_event(connection.codec(), event, &args)?;
            drop(args);
            return Ok(Sent::one(push(&*connection, frame).await.is_ok()));
        }
        let mut waiting = FuturesUnordered::new();
        let mut fan = Fan::new(node.codec(), event, &args);
        let mut sent = Sent::default();
        visit(&node.registry, to, |connection| {
            let Some(frame) = fan.frame() else {
                return;
            };
            match connection.push_or_wait(frame) {
                Err(PushError::Full(frame, room)) => {
                    let connection = Arc::clone(connection);
                    waiting.push(async move {
                        room.await;
                        push(&*connection, frame).await
                    });
                }
                pushed => sent.count(pushed.is_ok()),
            }
        });
        let reach = self.reach();
        sent.unreached += self.alone(0, usize::from(reach.is_none()));
        let beyond = reach.and_then(|reach| Some((reach, fan.frame()?)));
        let mut sent = fan.finish(sent)?;
        drop(args);
        let here = async {
            let mut here = Sent::default();
            while let Some(pushed) = waiting.next().await {
                here.count(pushed.is_ok());
            }
            here
        };
        let there = async {
            match beyond {
                Some((reach, frame)) => self.send_beyond(reach, to, frame).await,
                None => Sent::default(),
            }
        };
        let (here, there) = futures_util::future::join(here, there).await;
        sent.add(Ok(here));
        sent.add(Ok(there));
        Ok(sent)
    }

    /// Sends an event now or not at all, and waits for nothing. A connection whose queue is full is
    /// treated by its [`QueuePolicy`](crate::QueuePolicy). To sessions of other nodes it is passed
    /// on, and what becomes of it there nobody says; [`forward`](Self::forward) and
    /// [`broadcast`](Self::broadcast) wait for that.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn try_send<'a>(
        &self,
        to: impl Into<To<'a>>,
        event: &str,
        args: impl IntoArgs,
    ) -> Result<Sent, SendError> {
        let to = to.into();
        let node = self.owner.node();
        if let Some(connection) = self.only(to) {
            let frame = encode_event(connection.codec(), event, &args)?;
            return Ok(Sent::one(connection.try_push(frame).is_ok()));
        }
        let mut fan = Fan::new(node.codec(), event, &args);
        let mut sent = Sent::default();
        visit(&node.registry, to, |connection| {
            if let Some(frame) = fan.frame() {
                sent.count(connection.try_push(frame).is_ok());
            }
        });
        let reach = self.reach();
        sent.unreached += self.alone(0, usize::from(reach.is_none()));
        if let Some((reach, frame)) = reach.and_then(|reach| Some((reach, fan.frame()?))) {
            match self.post_beyond(reach, to, frame) {
                Ok(passed_on) => sent.passed_on = passed_on,
                Err(_) => sent.unreached += 1,
            }
        }
        fan.finish(sent)
    }

    /// The connection of one session: a frame for it alone is not shared.
    fn only(&self, to: To<'_>) -> Option<Arc<Connection>> {
        match to {
            To::Session { account, session } => {
                self.owner.node().registry.session(account, session)
            }
            To::Account(_) | To::All => None,
        }
    }

    /// Passes a frame on to other nodes; whether there may be any that want it.
    fn post_beyond(&self, reach: &Reach, to: To<'_>, frame: Frame) -> Result<bool, Refused> {
        let routes = &self.owner.node().routes;
        match to {
            To::Session { account, session } => {
                let letter = Letter::new(account, session, frame);
                routes.post(reach, letter).map(|()| true)
            }
            To::Account(account) => {
                let posted = routes.post_account(reach, account, frame);
                posted.map(|()| true)
            }
            To::All => {
                let (nodes, settled) = reach.presence.peers();
                let posted = reach.post_to(&nodes, &Target::All, &frame);
                posted.map(|()| !nodes.is_empty() || !settled)
            }
        }
    }

    async fn send_beyond(&self, reach: &Reach, to: To<'_>, frame: Frame) -> Sent {
        let mut sent = Sent::default();
        if let To::Session { account, session } = to {
            let letter = Letter::new(account, session, frame);
            let wait = Wait::enqueued(reach.deadline);
            let outcome = self.owner.node().routes.forward(reach, letter, wait).await;
            match outcome {
                Outcome::Enqueued | Outcome::Written => sent.queued += 1,
                Outcome::NoSession => {}
                Outcome::Refused(Refused::QueueFull | Refused::Closing | Refused::Unsendable) => {
                    sent.refused += 1;
                }
                Outcome::Refused(Refused::InboxFull | Refused::BusOffline)
                | Outcome::Uncertain
                | Outcome::NodeGone
                | Outcome::Unknown => sent.unreached += 1,
            }
            return sent;
        }
        let call = |to| Call::Send {
            to,
            frame: frame.clone(),
        };
        let (answers, complete) = reach.ask_all(to, call).await;
        sent.unreached += usize::from(!complete);
        for (_, answer) in answers {
            sent.add(said_sent(answer));
        }
        sent
    }
}

/// What another node says of a [`Call::Send`].
pub(super) fn said_sent(answer: Result<Answer, Unreached>) -> Result<Sent, Unreached> {
    match answer {
        Ok(Answer::Sent(sent)) => Ok(sent),
        Ok(Answer::Forward(_) | Answer::Closed(_) | Answer::Fed(_)) => Err(Unreached::Unknown),
        Err(unreached) => Err(unreached),
    }
}
