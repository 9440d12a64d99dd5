//! A handler and its tests: `cargo test --example unit_test --features testing` runs them, without
//! a server and without waiting.

use std::{collections::HashMap, sync::Arc};

use axum::Router;
use parking_lot::Mutex;
use primacron::{Args, MakeHandler, Message, PrimacronLayer, PublicError, Reply, To, User};
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};
use tower::{service_fn, util::BoxCloneSyncService};

/// The scores of a game, by account.
type Scores = Arc<Mutex<HashMap<String, u64>>>;

/// Adds points, tells how many there are now, and warns whoever is about to win.
async fn score(scores: Scores, message: Message) -> Result<Reply, PublicError> {
    let points: u64 = message.args().get(0).unwrap_or_default();
    let account = message.user().account().to_owned();
    let total = *scores
        .lock()
        .entry(account)
        .and_modify(|total| *total += points)
        .or_insert(points);
    if total > 100 {
        return Err(PublicError::new("the game is over"));
    }
    if total > 90 {
        // Who cannot take it is about to be gone anyway.
        drop(message.socket().send("almost", (100 - total,)).await);
    }
    Ok(Reply::event("total", (total,)))
}

fn handler() -> BoxCloneSyncService<Message, Reply, PublicError> {
    let scores = Scores::default();
    BoxCloneSyncService::new(service_fn(move |message| {
        score(Arc::clone(&scores), message)
    }))
}

/// The layer as the program serves it.
fn layer() -> PrimacronLayer<impl MakeHandler> {
    PrimacronLayer::in_memory()
        .validate("score", |args: &Args, _: &User| match args.get::<u64>(0) {
            Ok(1..=50) => Ok(()),
            _ => Err("1 to 50 points at once"),
        })
        .service(handler())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let layer = layer();
    let handle = layer.handle();
    let app = Router::new().layer(layer);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let streams = handle.clone();
    let ended = async move {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        println!("{} clients leave", streams.count(To::All));
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(handle.drain_on(ended, std::time::Duration::from_secs(2)))
        .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use primacron::testing::{Client, Outbox};
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    fn points(points: u64) -> Message {
        let user = User::new("ann", "session", "sid");
        Message::builder("score", (points,)).user(user).build()
    }

    // The handler alone: a tower service, called once.

    #[tokio::test]
    async fn points_add_up() {
        let handler = handler();

        handler.clone().oneshot(points(7)).await.unwrap();
        let reply = handler.oneshot(points(8)).await.unwrap();

        assert_eq!(reply.as_event(), Some(("total", json!([15]))));
    }

    #[tokio::test]
    async fn who_is_about_to_win_is_warned() {
        let outbox = Outbox::new();
        let message = Message::builder("score", (95,)).outbox(&outbox).build();

        handler().oneshot(message).await.unwrap();

        assert_eq!(outbox.events(), [("almost".to_owned(), json!([5]))]);
    }

    // With validators and the protocol around it: a client that needs no socket.

    #[tokio::test(start_paused = true)]
    async fn too_many_points_at_once_are_refused() {
        let app = Router::new().layer(layer());
        let mut ann = Client::builder(&app).account("ann").connect().await;

        ann.send("score", (51,));

        let report = ann.expect_refusal("error::validation").await;
        assert_eq!(report.text.as_deref(), Some("1 to 50 points at once"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_game_ends_and_its_players_stay_connected() {
        let app = Router::new().layer(layer());
        let mut ann = Client::builder(&app)
            .account("ann")
            .polling()
            .connect()
            .await;

        assert_eq!(ann.ask("score", (50,)).await, Ok(json!([50])));
        assert_eq!(ann.ask("score", (45,)).await, Ok(json!([95])));
        assert_eq!(ann.expect_event("almost").await, json!([5]));
        tokio::time::sleep(Duration::from_secs(3600)).await;

        let answer = ann.ask("score", (10,)).await;
        assert_eq!(answer, Err("the game is over".to_owned()));
        ann.close().await;
    }
}
