//! Handlers by event in an axum app: `cargo run --example router`, then connect to
//! `ws://127.0.0.1:3000/stream/?EIO=4&transport=websocket&account=ann` and send
//! `4{"event":"chat","args":["hello"]}` or `4{"event":"game::move","args":["e2","e4"],"id":1}`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use primacron::{
    Args, Handle, Message, PrimacronLayer, PublicError, Reply, To, User,
    router::{Data, EventHandler, EventRouter, State},
};
use tokio::{
    net::TcpListener,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
};
use tower::timeout::TimeoutLayer;

/// How long the clients may take to leave when the server ends.
const DRAIN: Duration = Duration::from_secs(2);

/// What the handlers share.
#[derive(Clone)]
struct Board {
    everybody: Handle,
    moves: Arc<AtomicUsize>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = PrimacronLayer::in_memory();
    let handle = layer.handle();
    let board = Board {
        everybody: handle.clone(),
        moves: Arc::default(),
    };

    let games = EventRouter::new()
        .on("move", play)
        .on("count", count.layer(TimeoutLayer::new(DRAIN)));
    let router = EventRouter::new()
        .on_validated("chat", short_text, chat)
        .nest("game::", games)
        .validate("echo", |args: &Args, _: &User| args.len() <= 8)
        .fallback(echo)
        .with_state(board);

    let app = Router::new()
        .route("/", get("events are at /stream/"))
        .layer(layer.router(router));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = async move {
        ended().await;
        handle.drain(DRAIN).await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown)
        .await?;
    Ok(())
}

fn short_text(args: &Args, _: &User) -> Result<(), &'static str> {
    match args.all::<(&str,)>() {
        Ok((text,)) if text.len() <= 2000 => Ok(()),
        _ => Err("say one text of 2000 bytes at most"),
    }
}

/// Says something to everybody.
async fn chat(args: Args, user: User, State(board): State<Board>) -> Result<(), PublicError> {
    let text: String = args.get(0).unwrap_or_default();
    let said = (user.account(), text);
    match board.everybody.try_send(To::All, "said", said) {
        Ok(_) => Ok(()),
        Err(_) => Err(PublicError::new("nobody could hear that")),
    }
}

/// From where to where; what is no such pair is refused.
async fn play(
    Data((from, to)): Data<(String, String)>,
    State(board): State<Board>,
) -> Result<Reply, PublicError> {
    if from == to {
        return Err(PublicError::new("that is no move"));
    }
    let nth = board.moves.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(Reply::event("moved", (from, to, nth)))
}

/// How many moves there were.
async fn count(_: Data<()>, State(board): State<Board>) -> (usize,) {
    (board.moves.load(Ordering::Relaxed),)
}

/// What nobody else handles comes back.
async fn echo(message: Message) -> Args {
    message.args().clone()
}

/// Ready when the process is told to end.
async fn ended() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(ctrl_c().await);
    };
    tokio::select! {
        _ = ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
