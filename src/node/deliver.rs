use std::sync::{Arc, Weak};

use super::{
    To,
    feed::Feeds,
    follow::Follows,
    place::place,
    route::{Letter, Routes},
    visit,
};
use crate::{
    bus::{Answer, Asker, Call, Deliver, Fed, Level, Outcome, Sent, Target, Wait},
    connection::Registry,
    engine::CloseReason,
    message::{Frame, Outlet as _},
};

/// Does what other nodes ask. It does not keep the node alive.
pub(super) struct Porter {
    pub(super) registry: Arc<Registry>,
    pub(super) routes: Weak<Routes>,
    pub(super) follows: Weak<Follows>,
    pub(super) feeds: Weak<Feeds>,
}

impl Deliver for Porter {
    fn deliver(&self, from: &Arc<str>, call: Call, asker: Asker) {
        match call {
            Call::Forward {
                account,
                session,
                frame,
                level,
                bounced,
            } => match self.registry.session(&account, &session) {
                Some(connection) => place(&connection, frame, level, |outcome| {
                    asker.answer(Answer::Forward(outcome));
                }),
                // It has moved again in this moment.
                None if bounced => asker.answer(Answer::Forward(Outcome::Uncertain)),
                None => {
                    let letter = Letter {
                        account: &account,
                        session: &session,
                        frame,
                        bounced: true,
                    };
                    self.bounce(from, letter, level, asker);
                }
            },
            Call::Send { to, frame } => asker.answer(Answer::Sent(self.send(&to, &frame))),
            Call::Close { to, reason } => asker.answer(Answer::Closed(self.close(&to, &reason))),
            Call::Moved { account, session } => {
                if let Some(routes) = self.routes.upgrade() {
                    routes.forget(&account, &session);
                }
            }
            Call::Follow {
                account,
                followed,
                follower,
                on,
            } => {
                let (follows, routes) = (self.follows.upgrade(), self.routes.upgrade());
                let reach = routes.as_ref().and_then(|routes| routes.reach());
                let (Some(follows), Some(reach)) = (follows, reach) else {
                    return asker.answer(Answer::Forward(Outcome::Uncertain));
                };
                reach.runtime.spawn(async move {
                    let asked = follows.asked(&account, &followed, &follower, on);
                    asker.answer(Answer::Forward(asked.await));
                });
            }
            Call::Watch(held) => {
                if let Some(feeds) = self.feeds.upgrade() {
                    feeds.asked(from, held);
                }
            }
            Call::Feed(piece) => {
                let feeds = self.feeds.upgrade();
                let fed = feeds.map_or(Fed::Unwanted, |feeds| feeds.fed(from, &piece));
                asker.answer(Answer::Fed(fed));
            }
        }
    }
}

impl Porter {
    /// Sends on what is for a session that is not here, or not any more, and lets the other node
    /// know.
    fn bounce(&self, from: &Arc<str>, letter: Letter<'_>, level: Level, asker: Asker) {
        let routes = self.routes.upgrade();
        let Some((routes, reach)) = routes.as_ref().and_then(|all| Some((all, all.reach()?)))
        else {
            return asker.answer(Answer::Forward(Outcome::Uncertain));
        };
        let moved = Call::Moved {
            account: letter.account.into(),
            session: letter.session.into(),
        };
        // It finds out with the next one, if not now.
        let _ = reach.bus.post(from, &moved);
        let wait = Wait {
            level,
            at_most: reach.deadline,
        };
        if !asker.waits() {
            let _ = routes.post(reach, letter);
            return;
        }
        let outcome = routes.forward(reach, letter, wait);
        reach.runtime.spawn(async move {
            let outcome = outcome.await;
            // Perhaps only our patience is over. Who asked knows when his is, and that he does not
            // know.
            if outcome != Outcome::Unknown {
                asker.answer(Answer::Forward(outcome));
            }
        });
    }

    fn send(&self, to: &Target, frame: &Frame) -> Sent {
        let mut sent = Sent::default();
        visit(&self.registry, To::from(to), |connection| {
            sent.count(connection.try_push(frame.clone()).is_ok());
        });
        sent
    }

    fn close(&self, to: &Target, reason: &str) -> usize {
        let reason = CloseReason::Application(reason.to_owned().into());
        let mut closed = 0;
        visit(&self.registry, To::from(to), |connection| {
            connection.close(reason.clone());
            closed += 1;
        });
        closed
    }
}

impl<'a> From<&'a Target> for To<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Session { account, session } => Self::Session { account, session },
            Target::Account(account) => Self::Account(account),
            Target::All => Self::All,
        }
    }
}

impl From<To<'_>> for Target {
    fn from(to: To<'_>) -> Self {
        match to {
            To::Session { account, session } => Self::Session {
                account: account.into(),
                session: session.into(),
            },
            To::Account(account) => Self::Account(account.into()),
            To::All => Self::All,
        }
    }
}
