//! The way of a message: envelope, arguments, answer; and a whole round trip over a socket.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    task::{Context, Poll},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use primacron::{
    Args, Codec, IntoArgs, Json, Message, Outgoing, PrimacronLayer, RawInput, Reply, User,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tower::Service;

fn envelope(size: usize) -> String {
    format!(r#"{{"event":"echo","args":["{}"]}}"#, "x".repeat(size))
}

fn json(c: &mut Criterion) {
    let mut group = c.benchmark_group("json");
    for size in [64, 1024] {
        let raw = RawInput::from(envelope(size));
        group.throughput(Throughput::Bytes(raw.as_bytes().len() as u64));
        group.bench_function(format!("decode an envelope, {size} bytes"), |b| {
            b.iter(|| Json.decode(black_box(&raw)));
        });
        let args =
            Args::from_json(&format!(r#"["{}"]"#, "x".repeat(size))).unwrap_or(Args::empty());
        group.bench_function(format!("read an argument, {size} bytes"), |b| {
            b.iter(|| black_box(&args).all::<(&str,)>().map(|(text,)| text.len()));
        });
        group.bench_function(
            format!("encode arguments as they came, {size} bytes"),
            |b| {
                let mut out = Vec::new();
                b.iter(|| {
                    out.clear();
                    Json.encode(&Outgoing::new("echo", black_box(&args).as_args()), &mut out)
                });
            },
        );
        let text = "x".repeat(size);
        group.bench_function(format!("encode a text, {size} bytes"), |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                Json.encode(
                    &Outgoing::new("echo", (black_box(&*text),).as_args()),
                    &mut out,
                )
            });
        });
    }
    group.finish();
}

/// Answers every message with itself.
#[derive(Clone)]
struct Echo;

impl Service<Message> for Echo {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        ready(Ok(Reply::event("echo", message.args().clone())))
    }
}

fn serve(runtime: &Runtime) -> std::io::Result<SocketAddr> {
    let layer = PrimacronLayer::in_memory()
        .validate("echo", |args: &Args, _: &User| {
            args.all::<(&str,)>().map(drop)
        })
        .service(Echo);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let app = axum::Router::new().layer(layer);
    runtime.spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// A websocket that has read its open packet.
fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET /stream/?EIO=4&transport=websocket&account=bench HTTP/1.1\r\nHost: localhost\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.ends_with(b"}") {
        let read = stream.read(&mut buffer)?;
        seen.extend_from_slice(&buffer[..read]);
    }
    Ok(stream)
}

/// So many messages in one write, answered in full before the next.
fn round_trip(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let address = serve(&runtime).expect("a server starts");
    let mut group = c.benchmark_group("websocket echo, 64 bytes");
    for burst in [1, 16] {
        let mut stream = connect(address).expect("a client connects");
        let text = format!("4{}", envelope(64));
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        let frames = frame.repeat(burst);
        let mut answers = vec![0; (text.len() + 2) * burst];
        group.throughput(Throughput::Elements(burst as u64));
        group.bench_function(format!("{burst} in flight"), |b| {
            b.iter(|| {
                stream
                    .write_all(&frames)
                    .and_then(|()| stream.read_exact(&mut answers))
            });
        });
        assert_eq!(&answers[2..2 + text.len()], text.as_bytes());
    }
    group.finish();
}

criterion_group!(benches, json, round_trip);
criterion_main!(benches);
