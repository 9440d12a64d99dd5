//! What clients that are broken or mean can do to a server: nothing. This binary counts the panics
//! of its process, so that it stands apart from the other tests.

mod common;

use std::sync::{Arc, Mutex, Once, PoisonError};
use std::{panic, thread};

use primacron::{CloseReason, QueuePolicy, To};
use proptest::test_runner::{RngAlgorithm, TestRng};

use common::{
    BINARY, Frame, Heard, Http, Poller, RS, Server, TEXT, WS_PING, Ws, frame, until,
    upgrade_request, within,
};
use proptest::prelude::Rng;

/// Continues a fragmented message.
const CONTINUATION: u8 = 0;

/// How many bytes may wait for one client.
const QUEUE: usize = 256 * 1024;

/// More than the kernel keeps between a client and a server.
const KERNEL: usize = 64 << 20;

/// The threads that panicked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

fn note_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            panics.push(thread_name());
            drop(panics);
            report(panic);
        }));
    });
}

/// No task of this test panicked: they run on its thread, or on those of a runtime that only one
/// test has.
fn assert_no_panic() {
    let panics = PANICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let ours = |name: &String| *name == thread_name() || name.starts_with("tokio");
    assert!(!panics.iter().any(ours), "a task panicked");
}

async fn server() -> Server {
    note_panics();
    Server::echo(|layer| layer.queue_limit(QUEUE)).await
}

/// The server is as it was: fresh clients are served, nobody else is left but those that the test
/// still has, and no task panicked.
async fn assert_unharmed(server: &Server, live: usize) {
    until(|| server.handle.count(To::All) == live).await;
    let client = Poller::open(server).await;
    client.assert_alive(server).await;
    client.post(server, "1").await.assert(200, "ok");
    let mut ws = Ws::open(server).await;
    ws.assert_alive().await;
    ws.send("1").await;
    ws.assert_closed(1000).await;
    until(|| server.handle.count(To::All) == live).await;
    assert_no_panic();
}

/// The same bytes in every run.
fn random(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

fn random_bytes(random: &mut TestRng, max: u32) -> Vec<u8> {
    let mut bytes = vec![0; (random.next_u32() % max) as usize];
    random.fill_bytes(&mut bytes);
    bytes
}

#[tokio::test]
async fn random_bytes_in_place_of_a_request() {
    let server = server().await;
    let mut random = random(1);

    for _ in 0..200 {
        let mut http = Http::connect(&server).await;
        http.try_send(&random_bytes(&mut random, 2000)).await;
    }

    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn random_bytes_in_a_websocket() {
    let server = server().await;
    let mut random = random(2);

    for _ in 0..200 {
        let mut ws = Ws::open(&server).await;
        ws.try_bytes(&random_bytes(&mut random, 2000)).await;
    }

    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn random_frames_that_are_well_formed() {
    let server = server().await;
    let mut random = random(3);

    for _ in 0..200 {
        let mut ws = Ws::open(&server).await;
        for _ in 0..5 {
            let kind = [CONTINUATION, TEXT, BINARY, 8, 9, 10][random.next_u32() as usize % 6];
            let fin = !random.next_u32().is_multiple_of(4);
            ws.try_bytes(&frame(fin, kind, &random_bytes(&mut random, 125)))
                .await;
        }
    }

    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn random_packets_in_a_post() {
    let server = server().await;
    let mut random = random(4);
    let alphabet = [
        "4", "b", "\u{1e}", "1", "2", "3", "5", "6", "0", "AQID", "=", "\u{e9}", "probe",
    ];

    for _ in 0..200 {
        let client = Poller::open(&server).await;
        let body: String = (0..random.next_u32() % 20)
            .map(|_| alphabet[random.next_u32() as usize % alphabet.len()])
            .collect();
        let answer = client.post(&server, &body).await;
        assert!(
            [200, 400].contains(&answer.status()),
            "{body:?}: {answer:?}"
        );
        let over = client.post(&server, "1").await;
        assert!([200, 400].contains(&over.status()), "{body:?}: {over:?}");
    }

    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn requests_that_are_never_finished() {
    let server = server().await;
    let client = Poller::open(&server).await;
    let whole = [
        common::Request::handshake().bytes(),
        upgrade_request("EIO=4&transport=websocket").bytes(),
        client.request("GET").bytes(),
    ];

    let mut half = Vec::new();
    for request in &whole {
        for end in (1..request.len()).step_by(7) {
            let mut http = Http::connect(&server).await;
            http.send(&request[..end]).await;
            half.push(http);
        }
    }

    client.assert_alive(&server).await;
    assert_unharmed(&server, 1).await;
    drop(half);
    client.assert_alive(&server).await;
    assert_unharmed(&server, 1).await;
}

#[tokio::test]
async fn headers_without_end() {
    let server = server().await;

    let mut http = Http::connect(&server).await;
    http.send("GET /stream/?account=ann&EIO=4&transport=polling HTTP/1.1\r\n")
        .await;
    let header = format!("x-filler: {}\r\n", "x".repeat(8000));
    let mut sent = 0;
    while http.try_send(header.as_bytes()).await {
        sent += header.len();
        assert!(sent < 64 << 20, "the server reads headers for ever");
    }

    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn a_query_as_long_as_a_server_takes() {
    let server = server().await;

    for filler in [
        "&".repeat(30_000),
        "&a=b".repeat(7_500),
        format!("&{}", "%".repeat(30_000)),
        "&account=".into(),
    ] {
        let query = format!("EIO=4&transport=polling{filler}");
        let answer = common::Request::to_stream("GET", &query)
            .send(&server)
            .await;
        let is_repeated = filler.contains("account");
        assert_eq!(answer.status(), if is_repeated { 400 } else { 200 });
    }

    server.handle.close(To::All, "enough").await;
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn bodies_that_are_cut_off() {
    let server = server().await;

    for (header, body) in [
        (("content-length", "100"), "4abc"),
        (("transfer-encoding", "chunked"), "5\r\n4a"),
        (("transfer-encoding", "chunked"), "5\r\n4abcd\r\n"),
        (("transfer-encoding", "chunked"), "zz\r\n4abcd\r\n0\r\n\r\n"),
        (("transfer-encoding", "chunked"), "FFFFFFFFFFFFFFFFF\r\n4"),
    ] {
        let client = Poller::open(&server).await;
        let mut post = client
            .request("POST")
            .header(header.0, header.1)
            .begin(&server)
            .await;
        post.send(body).await;
        drop(post);
    }

    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let server = server().await;
    let client = Poller::open(&server).await;
    let megabyte = vec![b'4'; 1 << 20];

    client.post(&server, &megabyte).await.assert_error(413, 3);
    for length in ["9223372036854775807", "18446744073709551615"] {
        let post = client.request("POST").header("content-length", length);
        let status = post.send(&server).await.status();
        assert!([413, 431].contains(&status), "{length}: {status}");
    }
    let mut post = client
        .request("POST")
        .header("transfer-encoding", "chunked")
        .begin(&server)
        .await;
    let mut sent = 0;
    while post
        .try_send(format!("{:x}\r\n", megabyte.len()).as_bytes())
        .await
        && post.try_send(&megabyte).await
        && post.try_send(b"\r\n").await
    {
        sent += megabyte.len();
        assert!(sent < 256 << 20, "the server reads a refused body for ever");
    }

    client.assert_alive(&server).await;
    client.post(&server, "1").await.assert(200, "ok");
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_among_many_that_do() {
    let mut server = server().await;
    let bytes = frame(true, TEXT, b"4slow");
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(Ws::open(&server).await);
    }

    for byte in &bytes[..bytes.len() - 1] {
        for ws in &mut slow {
            ws.bytes(&[*byte]).await;
        }
    }

    assert_unharmed(&server, 50).await;
    assert!(!server.heard_so_far().contains(&Heard::text("slow")));
    for ws in &mut slow {
        ws.bytes(&bytes[bytes.len() - 1..]).await;
        assert_eq!(ws.text().await, "4slow");
    }
    drop(slow);
    assert_unharmed(&server, 0).await;
}

/// E47.
#[tokio::test]
async fn thousands_of_tiny_fragments() {
    for payload in [&b""[..], b"a"] {
        let mut server = server().await;
        let mut ws = Ws::open(&server).await;

        ws.bytes(&frame(false, TEXT, b"4")).await;
        ws.try_bytes(&frame(false, CONTINUATION, payload).repeat(5000))
            .await;

        ws.assert_closed(1009).await;
        assert_eq!(server.disconnected().await, CloseReason::TooLarge);
        assert_unharmed(&server, 0).await;
    }
}

#[tokio::test]
async fn a_flood_of_websocket_pings_whose_pongs_nobody_reads() {
    let server = server().await;
    let mut ws = Ws::narrow(&server).await;
    let pings = frame(true, WS_PING, &[0; 125]).repeat(1000);

    let mut sent = 0;
    let stuck = async {
        while ws.bytes_unless_stuck(&pings).await {
            sent += pings.len();
            assert!(sent < KERNEL, "pongs pile up");
        }
    };
    within(stuck).await;

    assert!(server.handle.queued_bytes(To::All) <= QUEUE);
    assert_unharmed(&server, 1).await;
    drop(ws);
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn a_flood_of_pongs_and_other_packets_without_meaning() {
    let server = server().await;
    let mut ws = Ws::open(&server).await;

    for packet in ["3", "0", "5", "6"] {
        ws.bytes(&frame(true, TEXT, packet.as_bytes()).repeat(20_000))
            .await;
    }

    ws.assert_alive().await;
    drop(ws);
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn messages_whose_answers_nobody_reads_on_a_websocket() {
    let mut server = server().await;
    let mut ws = Ws::narrow(&server).await;
    let message = frame(true, TEXT, &[b'4'; 10_000]);

    let mut sent = 0;
    let stuck = async {
        while ws.bytes_unless_stuck(&message).await {
            sent += message.len();
            assert!(sent < KERNEL, "neither pressure nor an end");
        }
    };
    within(stuck).await;

    let queued = server.handle.queued_bytes(To::All);
    assert!(queued <= QUEUE + message.len(), "{queued}");
    assert_unharmed(&server, 1).await;
    let heard = server.heard_so_far().len();
    assert!(heard * message.len() <= sent);
    drop(ws);
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn messages_whose_answers_nobody_reads_on_polling() {
    let server = server().await;
    let client = Poller::open(&server).await;
    let body = format!("4{}", "x".repeat(100_000));

    let mut stuck = None;
    for _ in 0..1000 {
        let mut post = client.request("POST").body(&body).begin(&server).await;
        match post.answer_unless_stuck().await {
            Some(answer) => answer.assert(200, "ok"),
            None => {
                stuck = Some(post);
                break;
            }
        }
    }

    let mut stuck = stuck.expect("`ok` is withheld while nothing is read");
    let queued = server.handle.queued_bytes(To::All);
    assert!(queued <= QUEUE + body.len(), "{queued}");
    while client.poll(&server).await.status() == 200 && server.handle.queued_bytes(To::All) > 0 {}
    stuck.answer().await.assert(200, "ok");
    server.handle.close(To::All, "enough").await;
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn broadcasts_to_a_client_that_does_not_read() {
    for policy in [QueuePolicy::Close, QueuePolicy::DropVolatile] {
        note_panics();
        let mut server = Server::echo(|layer| layer.queue_limit(QUEUE).queue_policy(policy)).await;
        let ws = Ws::narrow(&server).await;
        let text = "x".repeat(10_000);

        let mut refused = 0;
        while refused < 100 && server.handle.count(To::All) > 0 {
            let sent = server
                .handle
                .try_send(To::All, "message", (&text,))
                .unwrap();
            refused += sent.refused;
            assert!(server.handle.queued_bytes(To::All) <= QUEUE);
            tokio::task::yield_now().await;
        }

        if policy == QueuePolicy::Close {
            assert_eq!(server.disconnected().await, CloseReason::QueueFull);
            assert_unharmed(&server, 0).await;
        } else {
            assert_unharmed(&server, 1).await;
        }
        drop(ws);
        assert_unharmed(&server, 0).await;
    }
}

#[tokio::test]
async fn a_post_of_a_thousand_packets() {
    let mut server = server().await;
    let client = Poller::open(&server).await;
    let packets: Vec<String> = (0..1000).map(|number| format!("4{number}")).collect();

    client
        .post(&server, packets.join(RS))
        .await
        .assert(200, "ok");

    assert_eq!(client.packets(&server, 1000).await, packets);
    assert_eq!(server.heard_so_far().len(), 1000);
    client
        .post(&server, "4\u{1e}".repeat(500_000))
        .await
        .assert_error(400, 3);
    assert_eq!(server.heard_so_far(), []);
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn sids_that_are_guessed() {
    let server = server().await;
    let client = Poller::open(&server).await;
    let mut random = random(5);

    for _ in 0..500 {
        let guess: String = random_bytes(&mut random, 40)
            .iter()
            .map(|byte| format!("%{byte:02x}"))
            .chain(["x".to_owned()])
            .collect();
        let poller = Poller { sid: guess };
        poller.assert_gone(&server).await;
    }
    let almost = Poller {
        sid: client.sid.to_uppercase(),
    };
    almost.assert_gone(&server).await;
    let longer = Poller {
        sid: format!("{}A", client.sid),
    };
    longer.assert_gone(&server).await;

    client.assert_alive(&server).await;
    assert_unharmed(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_and_vanish_in_every_state() {
    let server = Arc::new(server().await);
    let mut tasks = Vec::new();

    for kind in 0..200 {
        let server = Arc::clone(&server);
        tasks.push(tokio::spawn(async move {
            let client = Poller::open(&server).await;
            match kind % 8 {
                0 => drop(client.begin_poll(&server).await),
                1 => drop(client.request("POST").body("4a").begin(&server).await),
                2 => drop(Ws::candidate(&server, &client.sid).await),
                3 => Ws::probed(&server, &client.sid).await.reset(),
                4 => Ws::candidate(&server, &client.sid).await.send("5").await,
                5 => drop(tokio::join!(client.poll(&server), client.poll(&server))),
                6 => drop(tokio::join!(
                    client.post(&server, "1"),
                    client.begin_poll(&server)
                )),
                _ => Ws::open(&server).await.reset(),
            }
        }));
    }
    for task in tasks {
        within(task).await.unwrap();
    }

    server.handle.close(To::All, "enough").await;
    until(|| server.handle.count(To::All) == 0).await;
    assert_unharmed(&server, 0).await;
}

#[tokio::test]
async fn a_client_that_never_says_goodbye_does_not_stay() {
    let mut server = server().await;
    let mut ws = Ws::narrow(&server).await;
    ws.send("1").await;

    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
    assert_eq!(ws.next().await, Frame::Close(Some(1000)));

    assert_unharmed(&server, 0).await;
}
