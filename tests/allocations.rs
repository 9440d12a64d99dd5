//! How many allocations a message costs the server.
//!
//! The server runs on the thread of the test, on which allocations are counted; the client has a
//! thread of its own, which is not.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::{
    convert::Infallible,
    future::ready,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use allocation_counter::measure;
use axum::Router;
use primacron::{
    Args, Handle, Handler, MakeHandler, Message, PrimacronLayer, Reply, Socket, To, User,
    router::EventRouter,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::Notify,
    task::yield_now,
};
use tower::service_fn;

/// Messages of one measurement.
const MESSAGES: usize = 2_000;

/// A server on the thread of the test, with one client.
struct Bench {
    runtime: Runtime,
    handle: Handle,
    client: TcpStream,
}

impl Bench {
    fn with(handler: impl Handler + Clone + Sync + 'static) -> Self {
        let layer = PrimacronLayer::in_memory()
            .validate("echo", |args: &Args, _: &User| args.get::<&str>(0).is_ok())
            .service(handler);
        Self::of(layer)
    }

    fn of(layer: PrimacronLayer<impl MakeHandler>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = layer.handle();
        let app = Router::new().layer(layer);
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await });
        let client = std::thread::spawn(move || connect(address));
        runtime.block_on(async {
            while !client.is_finished() {
                yield_now().await;
            }
        });
        Self {
            client: client.join().unwrap(),
            runtime,
            handle,
        }
    }

    /// Lets the client do something on its own thread.
    fn client(&self, act: impl FnOnce(&mut TcpStream) + Send + 'static) -> JoinHandle<()> {
        let mut client = self.client.try_clone().unwrap();
        std::thread::spawn(move || act(&mut client))
    }
}

/// Shakes hands and reads the open packet.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = "GET /stream/?EIO=4&transport=websocket&account=ann HTTP/1.1\r\nHost: a\r\n\
                   Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    stream
}

/// An event of 64 bytes as a masked frame.
fn frame() -> Vec<u8> {
    let envelope = r#"{"event":"echo","args":[""]}"#.len();
    let text = format!(
        r#"4{{"event":"echo","args":["{}"]}}"#,
        "x".repeat(64 - envelope)
    );
    assert_eq!(text.len(), 65);
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A handler that keeps nothing and counts, and tells at the end of every round.
fn sink(seen: &Arc<AtomicUsize>, done: &Arc<Notify>) -> impl Handler + Clone + Sync + use<> {
    let (seen, done) = (Arc::clone(seen), Arc::clone(done));
    service_fn(move |_: Message| {
        if (seen.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(MESSAGES) {
            done.notify_one();
        }
        ready(Ok::<_, Infallible>(()))
    })
}

/// Allocations while the server takes messages that come in writes of so many; a client that is
/// in step writes when what it wrote before was handled.
fn received(messages_a_write: usize, in_step: bool) -> u64 {
    let (seen, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let bench = Bench::with(sink(&seen, &done));
    rounds(&bench, &seen, &done, messages_a_write, in_step)
}

fn rounds(
    bench: &Bench,
    seen: &Arc<AtomicUsize>,
    done: &Arc<Notify>,
    messages_a_write: usize,
    in_step: bool,
) -> u64 {
    let mut count = 0;
    // The first round warms up.
    for _ in 0..2 {
        let seen = Arc::clone(seen);
        let writes = bench.client(move |client| {
            let frames = frame().repeat(messages_a_write);
            let mut written = seen.load(Ordering::SeqCst);
            for _ in 0..MESSAGES / messages_a_write {
                client.write_all(&frames).unwrap();
                written += messages_a_write;
                while in_step && seen.load(Ordering::SeqCst) < written {
                    std::thread::yield_now();
                }
            }
        });
        count = measure(|| bench.runtime.block_on(done.notified())).count_total;
        writes.join().unwrap();
    }
    println!("{messages_a_write} a write, in step: {in_step}: {count} for {MESSAGES} messages");
    count
}

#[test]
fn a_received_message_costs_no_allocation() {
    for messages_a_write in [1, 16] {
        let count = received(messages_a_write, true);
        assert!(
            count <= 2,
            "{count} for {MESSAGES} messages, {messages_a_write} a write"
        );
    }
}

#[test]
fn a_routed_message_costs_the_future_of_its_handler() {
    let (seen, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, told) = (Arc::clone(&seen), Arc::clone(&done));
    let handle = move |_: Message| {
        let (counted, told) = (Arc::clone(&counted), Arc::clone(&told));
        async move {
            if (counted.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(MESSAGES) {
                told.notify_one();
            }
        }
    };
    let layer = PrimacronLayer::in_memory().router(EventRouter::new().on_validated(
        "echo",
        |args: &Args, _: &User| args.get::<&str>(0).is_ok(),
        handle,
    ));

    let count = rounds(&Bench::of(layer), &seen, &done, 1, true);

    assert!(
        count <= MESSAGES as u64 + 2,
        "{count} for {MESSAGES} messages"
    );
}

/// A read that ends in the middle of a message keeps the beginning of it.
#[test]
fn only_a_message_in_two_reads_is_kept_in_a_buffer() {
    let reads = (MESSAGES * frame().len() / (16 * 1024)) as u64;

    let count = received(200, false);

    assert!(count <= 4 * reads, "{count} in about {reads} reads");
}

#[test]
fn an_echo_costs_one_allocation() {
    let bench = Bench::with(service_fn(|message: Message| {
        ready(Ok::<_, Infallible>(Reply::args(message.args().clone())))
    }));
    let mut count = 0;
    for _ in 0..2 {
        let talk = bench.client(|client| {
            let frame = frame();
            let mut answer = vec![0; frame.len() - 4];
            for _ in 0..MESSAGES {
                client.write_all(&frame).unwrap();
                client.read_exact(&mut answer).unwrap();
            }
        });
        let wait = async {
            while !talk.is_finished() {
                yield_now().await;
            }
        };
        count = measure(|| bench.runtime.block_on(wait)).count_total;
        talk.join().unwrap();
    }
    println!("echo: {count} for {MESSAGES} messages");
    assert!(
        count <= MESSAGES as u64 + 2,
        "{count} for {MESSAGES} messages"
    );
}

/// Allocations while messages of so many bytes are sent in this way, so many before each write.
fn sent(burst: usize, send: impl Fn(&Handle, &Socket)) -> u64 {
    let bench = Bench::with(service_fn(|_: Message| ready(Ok::<_, Infallible>(()))));
    let session = bench.handle.users(To::All)[0].session().to_owned();
    let socket = bench.handle.socket("ann", &session).unwrap();
    bench.client(|client| drop(std::io::copy(client, &mut std::io::sink())));
    let mut count = 0;
    // The first round warms up.
    for _ in 0..2 {
        let sending = async {
            for _ in 0..MESSAGES / burst {
                (0..burst).for_each(|_| send(&bench.handle, &socket));
                while socket.queued_bytes() > 0 {
                    yield_now().await;
                }
            }
        };
        count = measure(|| bench.runtime.block_on(sending)).count_total;
    }
    println!("{burst} at once: {count} for {MESSAGES} messages");
    count
}

#[test]
fn a_sent_message_up_to_a_kilobyte_costs_one_allocation() {
    for bytes in [20, 1000] {
        let text = "x".repeat(bytes);
        let count = sent(1, |_, socket| socket.try_send("e", (&*text,)).unwrap());
        assert!(
            count <= MESSAGES as u64 + 2,
            "{count} for {MESSAGES} messages of {bytes} bytes"
        );
        let count = sent(1, |handle, socket| {
            assert_eq!(
                handle
                    .try_send(socket.user(), "e", (&*text,))
                    .unwrap()
                    .queued,
                1
            );
        });
        assert!(
            count <= MESSAGES as u64 + 2,
            "{count} for {MESSAGES} messages by the handle"
        );
    }
}

/// The queue of a connection grows in steps, and is given back when it is empty.
#[test]
fn a_burst_costs_little_more() {
    let count = sent(16, |_, socket| socket.try_send("e", ("x",)).unwrap());

    assert!(
        count <= MESSAGES as u64 * 5 / 4,
        "{count} for {MESSAGES} messages"
    );
}

/// The list of an account's sessions, and what makes a frame shared.
#[test]
fn a_message_for_an_account_costs_three_allocations_at_most() {
    let count = sent(1, |handle, _| {
        assert_eq!(
            handle
                .try_send(To::Account("ann"), "e", ("x",))
                .unwrap()
                .queued,
            1
        );
    });

    assert!(
        count <= 3 * MESSAGES as u64 + 2,
        "{count} for {MESSAGES} messages"
    );
}
