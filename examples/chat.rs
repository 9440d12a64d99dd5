//! A chat in the browser: `cargo run --example chat`, then open <http://127.0.0.1:3000/>.
//!
//! A room is an account, and everybody may enter every room: this layer has no `.account(fn)`, so
//! the account is what the page claims. That suits a public chat. Where accounts belong to people,
//! give the layer an account function that knows who is logged in.
//!
//! Another address to listen on is the only argument: `cargo run --example chat -- 0.0.0.0:8080`.

use std::{
    collections::{HashMap, VecDeque},
    future::ready,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, http::header, response::IntoResponse, routing::get};
use primacron::{
    Args, Handle, Message, Notice, Notices, PrimacronLayer, PublicError, Refusal, Reply, To, User,
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    time::Instant,
};
use tower::service_fn;

const PAGE: &str = include_str!("chat/index.html");
const STYLE: &str = include_str!("chat/chat.css");
const SCRIPT: &str = include_str!("chat/chat.js");
const ICON: &str = include_str!("chat/icon.svg");

/// What the page may load and whom it may talk to: this server alone, and no inline script.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Characters of a name, and of a text.
const LONGEST_NAME: usize = 40;
const LONGEST_TEXT: usize = 2000;

/// How many texts somebody sees who comes in.
const REMEMBERED: usize = 50;

/// How many people a room holds.
const CROWD: usize = 200;

/// How many messages one client may send at once, and how soon the next one is allowed.
const BURST: u32 = 10;
const PACE: Duration = Duration::from_millis(500);

/// How long the clients may take to leave when the server ends.
const DRAIN: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("The chat is at http://{}/", listener.local_addr()?);

    let layer = PrimacronLayer::in_memory()
        .serve_client(true)
        .ping_interval(Duration::from_secs(10))
        .ping_timeout(Duration::from_secs(5))
        .validate("enter", |args: &Args, _: &User| {
            check(args, "name", LONGEST_NAME)
        })
        .validate("say", |args: &Args, _: &User| {
            check(args, "text", LONGEST_TEXT)
        });
    let handle = layer.handle();
    let rooms = Rooms::new(handle.clone());
    tokio::spawn(rooms.clone().watch(handle.notices()));
    let layer = layer.service_for(move |_: &User| {
        let rooms = rooms.clone();
        let mut pace = Pace::new();
        service_fn(move |message| ready(pace.check().and_then(|()| rooms.answer(&message))))
    });

    let app = Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", PAGE)))
        .route("/chat.css", get(|| file("text/css; charset=utf-8", STYLE)))
        .route(
            "/chat.js",
            get(|| file("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/icon.svg", get(|| file("image/svg+xml", ICON)))
        .layer(layer);
    axum::serve(listener, app)
        .with_graceful_shutdown(handle.drain_on(ended()?, DRAIN))
        .await?;
    Ok(())
}

/// Ready on ctrl-c, and when the system asks the program to end.
fn ended() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn file(kind: &'static str, text: &'static str) -> std::future::Ready<impl IntoResponse + use<>> {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    ready((headers, text))
}

/// Lets one text pass that says something and is not too long. What it says is shown as text, so
/// there is nothing else to check.
fn check(args: &Args, what: &str, longest: usize) -> Result<Args, Refusal> {
    let text = args
        .parse::<String>()
        .map_err(|_| format!("a {what} must be one text"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("a {what} must not be empty").into());
    }
    if text.chars().count() > longest {
        return Err(format!("a {what} has at most {longest} characters").into());
    }
    if text
        .chars()
        .any(|c| c.is_control() && (what == "name" || !matches!(c, '\n' | '\t')))
    {
        return Err(format!("a {what} must not contain control characters").into());
    }
    Ok(Args::from_values(vec![text.into()]))
}

/// How fast one client may send: a burst, and then one message each [`PACE`]. Whoever is faster is
/// refused, so that nobody can flood a room.
struct Pace {
    next: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            next: Instant::now(),
        }
    }

    fn check(&mut self) -> Result<(), PublicError> {
        let now = Instant::now();
        if self.next > now + PACE * BURST {
            return Err(PublicError::new("too fast, please wait a moment"));
        }
        self.next = self.next.max(now) + PACE;
        Ok(())
    }
}

/// Somebody in a room. The id is public, unlike the ids of the connection.
#[derive(Clone, Serialize)]
struct Person {
    id: String,
    name: String,
}

/// What somebody said.
#[derive(Clone, Serialize)]
struct Text {
    id: String,
    from: Person,
    text: String,
    /// Milliseconds since 1970.
    at: u128,
}

/// Who is here, by session, and what was said. It is forgotten when the last one leaves.
#[derive(Default)]
struct Room {
    people: HashMap<String, Person>,
    texts: VecDeque<Text>,
}

/// All rooms, and the way to those who are in them. Whatever a message says, it is about the room
/// that its connection belongs to.
#[derive(Clone)]
struct Rooms {
    handle: Handle,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<String, Room>,
    last_id: u64,
}

impl State {
    /// An id that no other run of the server gives.
    fn next_id(&mut self, handle: &Handle) -> String {
        self.last_id += 1;
        format!("{}-{}", handle.node_id(), self.last_id)
    }
}

impl Rooms {
    fn new(handle: Handle) -> Self {
        Self {
            handle,
            state: Arc::default(),
        }
    }

    fn answer(&self, message: &Message) -> Result<Reply, PublicError> {
        let text = message.args().get::<String>(0).unwrap_or_default();
        match message.event() {
            "enter" => self.enter(message.user(), text),
            _ => self.say(message.user(), text),
        }
    }

    /// Enters a room, or changes one's name: everybody there hears `here`.
    fn enter(&self, user: &User, name: String) -> Result<Reply, PublicError> {
        let mut state = self.lock();
        let fresh = state.next_id(&self.handle);
        let room = state.rooms.entry(user.account().to_owned()).or_default();
        let known = room.people.get(user.session());
        if known.is_none() && room.people.len() >= CROWD {
            return Err(PublicError::new("this room is full"));
        }
        let person = Person {
            id: known.map_or(fresh, |known| known.id.clone()),
            name,
        };
        room.people
            .insert(user.session().to_owned(), person.clone());
        self.tell(user.account(), "here", &person);
        let people: Vec<&Person> = room.people.values().collect();
        Ok(Reply::args(serde_json::json!([
            person.id, people, room.texts
        ])))
    }

    /// Says something to everybody in the room, the speaker included.
    fn say(&self, user: &User, text: String) -> Result<Reply, PublicError> {
        let mut state = self.lock();
        let id = state.next_id(&self.handle);
        let room = state.rooms.get_mut(user.account());
        let room = room.filter(|room| room.people.contains_key(user.session()));
        let room = room.ok_or_else(|| PublicError::new("enter with a name first"))?;
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let from = room.people[user.session()].clone();
        let said = Text { id, from, text, at };
        if room.texts.len() == REMEMBERED {
            room.texts.pop_front();
        }
        room.texts.push_back(said.clone());
        self.tell(user.account(), "said", &said);
        Ok(Reply::args((said.id,)))
    }

    fn leave(&self, user: &User) {
        let mut state = self.lock();
        let Some(room) = state.rooms.get_mut(user.account()) else {
            return;
        };
        if let Some(person) = room.people.remove(user.session()) {
            self.tell(user.account(), "gone", &person);
        }
        if room.people.is_empty() {
            state.rooms.remove(user.account());
        }
    }

    /// Lets people leave whose connection has ended, until the layer is gone.
    async fn watch(self, mut notices: Notices) {
        let mut missed = 0;
        while let Some(notice) = notices.next().await {
            if let Notice::Disconnect { user, .. } = &notice {
                self.leave(user);
            }
            if notices.missed() > missed {
                missed = notices.missed();
                self.sweep();
            }
        }
    }

    /// Lets everybody leave who is not connected any more: some notices were missed.
    fn sweep(&self) {
        let state = self.lock();
        let here = state.rooms.iter().flat_map(|(account, room)| {
            room.people
                .keys()
                .map(move |session| User::new(account, session, ""))
        });
        let gone = |user: &User| self.handle.count(user) == 0;
        let gone: Vec<User> = here.filter(gone).collect();
        drop(state);
        gone.iter().for_each(|user| self.leave(user));
    }

    /// Sends now or not at all: who cannot keep up is closed, and nobody waits for them.
    fn tell(&self, room: &str, event: &str, what: impl Serialize) {
        drop(self.handle.try_send(To::Account(room), event, (what,)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
