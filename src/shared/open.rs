use std::sync::Arc;

use http::{HeaderValue, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use super::{
    Next, Shared, Socket,
    listing::{list, register},
};
use crate::{
    connection::{Connection, Driver, MakeHandler},
    engine::{CloseReason, Handshake, TEXT_TYPE, Transport, put_packet},
    error::RequestError,
    message::{Frame, User},
    notice::Notice,
    respond,
    transport::accept,
};

impl<M: MakeHandler> Shared<M> {
    pub(super) fn open_polling<B>(&self, parts: &Parts, user: User) -> Next<B> {
        let mut body = Vec::with_capacity(256);
        self.put_open(&mut body, &user, Transport::Polling);
        if let Some(text) = self.endpoint.settings.initial_packet() {
            put_packet(&mut body, &message(text));
        }
        let cookie = self
            .endpoint
            .settings
            .cookie()
            .map(|cookie| format!("{}={}; Path=/; HttpOnly; SameSite=Lax", cookie, user.sid()));
        let connection = self.prepare(user, parts, Transport::Polling);
        let handler = self.make.make(connection.user());
        register(&connection);
        let listing = list(&self.endpoint, &connection, true);
        let make = Arc::clone(&self.make);
        tokio::spawn(Driver::<M, Socket>::new(connection, make, handler, None));
        let mut response = respond::packets(body.into());
        if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Next::answer_after(listing, response)
    }

    pub(super) fn open_websocket<B>(
        &self,
        mut parts: Parts,
        user: User,
    ) -> Result<Next<B>, RequestError> {
        let answer = accept(&parts)?;
        let upgrade = take_upgrade(&mut parts)?;
        let mut open = Vec::with_capacity(256);
        self.put_open(&mut open, &user, Transport::WebSocket);
        let connection = self.prepare(user, &parts, Transport::WebSocket);
        connection.push_control(Frame::packet(&open));
        if let Some(text) = self.endpoint.settings.initial_packet() {
            connection.push_control(Frame::packet(&message(text)));
        }
        // Who must be listed to be answered cannot wait for the websocket.
        let required = self.endpoint.presence.get().filter(|all| all.is_required());
        let first = required.and_then(|_| list(&self.endpoint, &connection, false));
        let listed = first.is_some();
        let (endpoint, make) = (Arc::clone(&self.endpoint), Arc::clone(&self.make));
        let patience = self.endpoint.settings.timing().upgrade_timeout;
        tokio::spawn(async move {
            if let Ok(Ok(upgraded)) = timeout(patience, upgrade).await {
                let handler = make.make(connection.user());
                register(&connection);
                let listing = (!listed)
                    .then(|| list(&endpoint, &connection, false))
                    .flatten();
                if let Some(listing) = listing {
                    listing.await;
                }
                Driver::new(connection, make, handler, Some(Socket::from(upgraded))).await;
            } else if let (true, Some(presence)) = (listed, endpoint.presence.get()) {
                presence.disconnect(connection.user());
            }
        });
        let answer = respond::websocket(answer);
        Ok(Next::answer_after(first, answer))
    }

    /// A second websocket is answered too, and closed at once: a client that is refused with a
    /// status takes that for a failure of its server.
    pub(super) fn upgrade<B>(
        &self,
        mut parts: Parts,
        connection: Arc<Connection>,
    ) -> Result<Next<B>, RequestError> {
        let answer = accept(&parts)?;
        let upgrade = take_upgrade(&mut parts)?;
        let announced = connection.announce_candidate();
        let patience = self.endpoint.settings.timing().upgrade_timeout;
        tokio::spawn(async move {
            let refused = match timeout(patience, upgrade).await {
                Ok(Ok(upgraded)) if announced => connection.hand_over(upgraded).err(),
                Ok(Ok(upgraded)) => Some(upgraded),
                Ok(Err(_)) | Err(_) => {
                    if announced {
                        connection.withdraw_candidate();
                    }
                    None
                }
            };
            if let Some(upgraded) = refused {
                let goodbye = Socket::from(upgraded).say_goodbye(&CloseReason::ForcedClose);
                drop(timeout(patience, goodbye).await);
            }
        });
        Ok(Next::answer(respond::websocket(answer)))
    }

    fn put_open(&self, out: &mut Vec<u8>, user: &User, transport: Transport) {
        let settings = &self.endpoint.settings;
        let data = settings.handshake_data;
        let handshake = Handshake {
            sid: user.sid(),
            upgrades: settings.upgrades(transport),
            ping_interval: settings.timing().ping_interval,
            ping_timeout: settings.timing().ping_timeout,
            max_payload: settings.max_payload(),
            session: data.then_some(user.session()),
            account: data.then_some(user.account()),
        };
        handshake.put(out);
    }

    fn prepare(&self, user: User, parts: &Parts, transport: Transport) -> Arc<Connection> {
        if self.gate.is_unverified() && self.owner.node().tell_unverified() {
            self.endpoint
                .settings
                .notices
                .post(Notice::UnverifiedAccount);
        }
        let kept = self.gate.keep(parts);
        Arc::new(Connection::new(&self.endpoint, user, kept, transport))
    }
}

pub(super) fn take_upgrade(parts: &mut Parts) -> Result<OnUpgrade, RequestError> {
    parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or(RequestError::Bad("server cannot upgrade"))
}

fn message(text: &str) -> Vec<u8> {
    [&[TEXT_TYPE], text.as_bytes()].concat()
}
