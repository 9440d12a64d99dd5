//! The sans-IO codecs: what bytes cost before anybody looks at a message.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

#[allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "the benchmark uses a part of the room"
)]
#[path = "../src/engine/mod.rs"]
mod engine;
#[allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "the benchmark uses a part of the room"
)]
#[path = "../src/websocket/mod.rs"]
mod websocket;

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::{Machine, Packet, Payload, Query, Timing, Transport, put_binary, put_packet};
use websocket::{Decoder, Limits, Opcode, header};

const LIMITS: Limits = Limits {
    max_message: 1_000_000,
    max_fragments: 1024,
};

/// A text frame of a client.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = header(Opcode::Text, payload.len()).as_ref().to_vec();
    frame[1] |= 0x80;
    let mask = [0x12, 0x34, 0x56, 0x78];
    frame.extend_from_slice(&mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

fn websocket_decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("websocket decode");
    for size in [64, 1024, 16 * 1024] {
        let frame = masked(&vec![b'4'; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size} bytes"), |b| {
            let mut decoder = Decoder::new();
            b.iter_batched_ref(
                || frame.clone(),
                |frame| decoder.decode(black_box(frame), &LIMITS),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn engine_packets(c: &mut Criterion) {
    c.bench_function("packet decode", |b| {
        b.iter(|| Packet::decode(black_box(b"4{\"event\":\"echo\"}")));
    });
    let query = "EIO=4&transport=polling&t=abc&sid=GvY0anUS3V-bbSb7yoj1vA&account=ann";
    c.bench_function("query parse", |b| {
        b.iter(|| Query::parse(Some(black_box(query))));
    });
    let body = Bytes::from(vec!["4{\"event\":\"echo\"}"; 16].join("\u{1e}"));
    c.bench_function("payload decode, 16 packets", |b| {
        b.iter(|| Payload::decode(black_box(body.clone()), 1024).map(Iterator::count));
    });
    let data = [7; 1000];
    c.bench_function("payload encode, text and binary", |b| {
        let mut out = Vec::with_capacity(4096);
        b.iter(|| {
            out.clear();
            put_packet(&mut out, black_box(b"4hello"));
            put_binary(&mut out, black_box(&data));
            out.len()
        });
    });
}

fn engine_machine(c: &mut Criterion) {
    let timing = Timing {
        ping_interval: std::time::Duration::from_secs(25),
        ping_timeout: std::time::Duration::from_secs(20),
        upgrade_timeout: std::time::Duration::from_secs(10),
        hold_timeout: std::time::Duration::from_secs(60),
        allow_upgrades: true,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark has no runtime to ask"
    )]
    let start = Instant::now();
    c.bench_function("machine, one message", |b| {
        let mut machine = Machine::open(Transport::WebSocket, start, &timing);
        b.iter(|| black_box(&mut machine).handle_message());
    });
}

criterion_group!(benches, websocket_decode, engine_packets, engine_machine);
criterion_main!(benches);
